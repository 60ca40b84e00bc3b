"""Whether the content of a form is what its schema asked for (MCP, client/elicitation, "Requested
Schema": flat, of primitives and lists of choices). Pure.

Keywords that such schemas do not have are not looked at, nor is ``format``, which is an annotation.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from mcpd.app.schemas import JsonSchema


def fault_of(content: Mapping[str, Any], schema: JsonSchema) -> str | None:
    """What is wrong, in a sentence without its end; None: nothing is."""
    for name in schema.get("required", ()):
        if name not in content:
            return f"{name} is missing"
    for name, declared in schema.get("properties", {}).items():
        if name in content and not _fits(content[name], declared):
            return f"{name} is not what its schema says"
    return None


def _fits(value: Any, schema: JsonSchema) -> bool:
    choices = _choices(schema)
    if choices is not None and not any(_same(value, choice) for choice in choices):
        return False
    kind = schema.get("type")
    if isinstance(kind, str) and not _has_type(value, kind):
        return False
    if isinstance(value, str):
        found = "pattern" not in schema or re.search(schema["pattern"], value)
        return bool(found) and _within(len(value), schema, "minLength", "maxLength")
    if isinstance(value, list):
        items = schema.get("items", {})
        sized = _within(len(value), schema, "minItems", "maxItems")
        return sized and all(_fits(item, items) for item in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        above = value > schema.get("exclusiveMinimum", -math.inf)
        below = value < schema.get("exclusiveMaximum", math.inf)
        return above and below and _within(value, schema, "minimum", "maximum")
    return True


def _choices(schema: JsonSchema) -> list[Any] | None:
    """Choices with titles are alternatives of constants (MCP 2025-11-25)."""
    titled = schema.get("oneOf", schema.get("anyOf"))
    if titled is not None:
        return [option["const"] for option in titled if "const" in option] or None
    if "const" in schema:
        return [schema["const"]]
    choices: list[Any] | None = schema.get("enum")
    return choices


def _has_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":  # 1.0 is one, says JSON Schema
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str, "number": (int, float), "array": list, "object": dict,
        "null": type(None), "boolean": bool,
    }  # fmt: skip
    return kind not in kinds or isinstance(value, kinds[kind])


def _within(size: float, schema: JsonSchema, least: str, most: str) -> bool:
    return bool(schema.get(least, -math.inf) <= size <= schema.get(most, math.inf))


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)
