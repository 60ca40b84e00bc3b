"""Whether a JSON value fits a schema, for the part of JSON Schema 2020-12 that this server makes.
Written apart from the code that makes schemas and decodes values.
"""

import math
import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "boolean": (bool,), "array": (list,), "object": (dict,),
    "null": (type(None),), "number": (int, float),
}  # fmt: skip


def fits(value: Any, schema: Any, root: Any) -> bool:
    """Whether the value is valid. ``format`` is an annotation and is not looked at."""
    if "$ref" in schema:
        return fits(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema and not any(fits(value, option, root) for option in schema["anyOf"]):
        return False
    if "enum" in schema and not any(same(value, option) for option in schema["enum"]):
        return False
    if "const" in schema and not same(value, schema["const"]):
        return False
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(has_type(value, kind) for kind in kinds):
        return False
    return all(check(value, schema, root) for check in (_number, _text, _array, _object))


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)


def has_type(value: Any, kind: str) -> bool:
    """1.0 is an integer (JSON Schema, section 4.2.3)."""
    if kind == "integer":
        whole = isinstance(value, float) and math.isfinite(value) and value.is_integer()
        return not isinstance(value, bool) and (isinstance(value, int) or whole)
    if kind == "number" and isinstance(value, bool):
        return False
    return isinstance(value, _TYPES[kind])


def _number(value: Any, schema: Any, root: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return (
        value >= schema.get("minimum", -math.inf)
        and value <= schema.get("maximum", math.inf)
        and not ("exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"])
        and not ("exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"])
    )


def _text(value: Any, schema: Any, root: Any) -> bool:
    if not isinstance(value, str):
        return True
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf)


def _array(value: Any, schema: Any, root: Any) -> bool:
    if not isinstance(value, list):
        return True
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        return False
    first = schema.get("prefixItems", [])
    if not all(fits(item, part, root) for item, part in zip(value, first, strict=False)):
        return False
    rest = schema.get("items", {})
    if rest is False:
        return len(value) <= len(first)
    return all(fits(item, rest, root) for item in value[len(first) :])


def _object(value: Any, schema: Any, root: Any) -> bool:
    if not isinstance(value, dict):
        return True
    declared = schema.get("properties", {})
    if not all(name in value for name in schema.get("required", [])):
        return False
    more = schema.get("additionalProperties", {})
    for name, member in value.items():
        if name in declared:
            if not fits(member, declared[name], root):
                return False
        elif more is False or not fits(member, more, root):
            return False
    return True
