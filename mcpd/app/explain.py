"""Wrong arguments in words that name the argument and what was expected. Pure."""

import difflib
import re
from typing import Any

import msgspec

from mcpd.app.schemas import JsonSchema

_AT = re.compile(r" - at `(?P<path>[^`]*)`$")
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]*)`")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>[^`]*)`")
_EXPECTED = re.compile(r"^Expected .*, (?=got )")
_JSON_NAMES = {
    "`int`": "an integer", "`str`": "a string", "`float`": "a number", "`bool`": "a boolean",
    "`array`": "an array", "`object`": "an object", "`null`": "null",
}  # fmt: skip


def explain(error: msgspec.ValidationError, schema: JsonSchema) -> str:
    """One sentence for the caller, a model as likely as a person."""
    text = str(error)
    at = _AT.search(text)
    path = at["path"].removeprefix("$").removeprefix(".") if at else ""
    reason = _AT.sub("", text)
    if missing := _MISSING.match(reason):
        name = _join(path, missing["name"])
        return f"The argument {name} is missing; expected {_expected(schema, name)}."
    if unknown := _UNKNOWN.match(reason):
        return _unknown_argument(_join(path, unknown["name"]), schema)
    if not path:
        return f"The arguments are not an object: {_plain(reason)}."
    received = _plain(_EXPECTED.sub("", reason))
    if received.startswith("expected "):  # a bound is broken; the schema says it better
        return f"The argument {path} is wrong; expected {_expected(schema, path)}."
    return f"The argument {path} is wrong: {received}; expected {_expected(schema, path)}."


SHOWN_NAME_CHARS = 128  # of an argument that does not exist


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _unknown_argument(name: str, schema: JsonSchema) -> str:
    known, name = list(schema.get("properties", {})), name[:SHOWN_NAME_CHARS]  # it may be megabytes
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    takes = ", ".join(known) if known else "none"
    return f"There is no argument {name}.{hint} The arguments are: {takes}."


def _plain(reason: str) -> str:
    for python_name, json_name in _JSON_NAMES.items():
        reason = reason.replace(python_name, json_name)
    return reason[:1].lower() + reason[1:]


def _expected(schema: JsonSchema, path: str) -> str:
    found = _look_up(schema, path)
    return "a value of the declared type" if found is None else describe(found, schema)


def _look_up(schema: JsonSchema, path: str) -> JsonSchema | None:
    here: Any = schema
    for part in path.replace("[", ".[").split("."):
        here = _container(_resolve(here, schema), schema)
        if part.startswith("["):
            here = here.get("items")
        else:
            here = here.get("properties", {}).get(part)
        if not isinstance(here, dict):
            return None
    return _resolve(here, schema)


def _container(here: JsonSchema, root: JsonSchema) -> JsonSchema:
    """Of several alternatives the first that has parts."""
    options = [_resolve(option, root) for option in here.get("anyOf", [])]
    return next((option for option in options if option.keys() & {"properties", "items"}), here)


def _resolve(here: JsonSchema, root: JsonSchema) -> JsonSchema:
    reference = here.get("$ref")
    if isinstance(reference, str):
        target: JsonSchema = root.get("$defs", {}).get(reference.rpartition("/")[2], {})
        return target
    return here


def describe(schema: JsonSchema, root: JsonSchema) -> str:
    """A schema in a few words."""
    schema = _resolve(schema, root)
    if "enum" in schema:
        return "one of " + ", ".join(msgspec.json.encode(v).decode() for v in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(describe(option, root) for option in schema["anyOf"])
    kind = schema.get("type", "value")
    words = {"integer": "an integer", "array": "an array", "object": "an object", "null": "null"}
    text = words.get(kind, f"a {kind}") if isinstance(kind, str) else "a value"
    if kind == "array" and isinstance(schema.get("items"), dict) and schema["items"]:
        text += f" of {describe(schema['items'], root)}"
    bounds = [
        f"{label} {schema[key]}"
        for key, label in (
            ("minimum", "at least"), ("exclusiveMinimum", "above"), ("maximum", "at most"),
            ("exclusiveMaximum", "below"), ("minLength", "of at least length"),
            ("maxLength", "of at most length"), ("pattern", "matching"), ("format", "as"),
        )
        if key in schema
    ]  # fmt: skip
    return " ".join([text, *bounds])
