"""Type hints to JSON Schema and typed decoding, through msgspec. Everything here runs once."""

import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from mcpd.app.content import CONTENT_TYPES, Content, ToolResult
from mcpd.errors import DeclarationError

JsonSchema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/{name}"


def type_hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """The function's annotations, resolved.

    Raises:
        DeclarationError: an annotation names something that does not exist.
    """
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise DeclarationError(
            f"{name}: an annotation cannot be resolved: {error}.",
            fix="Import the name at run time, not under TYPE_CHECKING.",
        ) from error


def arguments_type(
    name: str, function: Callable[..., Any], hints: dict[str, Any], skip: str | None
) -> type[msgspec.Struct]:
    """A Struct with one field for each parameter but ``skip``.

    Raises:
        DeclarationError: a parameter cannot be passed by name, or its type has no schema.
    """
    fields: list[tuple[str, Any, Any]] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == skip:
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise DeclarationError(
                f"{name}: parameter {parameter} cannot be passed by name.",
                fix="Declare plain parameters; * and ** have no schema.",
            )
        fields.append((parameter.name, hints.get(parameter.name, Any), _field(parameter)))
    try:
        return msgspec.defstruct(
            f"{name} arguments", fields, kw_only=True, forbid_unknown_fields=True
        )
    except (TypeError, ValueError) as error:
        raise DeclarationError(f"{name}: {error}.") from error


def _field(parameter: inspect.Parameter) -> Any:
    if parameter.default is parameter.empty:
        return msgspec.field()
    if isinstance(parameter.default, list | dict | set):
        default = parameter.default
        return msgspec.field(default_factory=lambda: type(default)(default))
    return msgspec.field(default=parameter.default)


def schema_of(annotation: Any, name: str) -> JsonSchema:
    """The JSON Schema (2020-12) of a type, with what it refers to in ``$defs``.

    Raises:
        DeclarationError: the type has no schema.
    """
    try:
        (root,), definitions = msgspec.json.schema_components([annotation], ref_template=_REF)
    except (TypeError, NotImplementedError, ValueError, NameError) as error:
        raise DeclarationError(
            f"{name}: a type has no JSON Schema: {str(error).rpartition(chr(10))[2]}.",
            fix="Use builtin types, dataclasses, TypedDict, enums, Literal or msgspec.Struct.",
        ) from error
    schema: JsonSchema = dict(root)
    if set(schema) == {"$ref"}:
        schema = dict(definitions.pop(schema["$ref"].rpartition("/")[2]))
        if _mentions(schema, definitions, root["$ref"]):  # it refers to itself
            definitions[root["$ref"].rpartition("/")[2]] = dict(schema)
    schema.pop("title", None)
    if definitions:
        schema["$defs"] = definitions
    return schema


def _mentions(schema: JsonSchema, definitions: dict[str, Any], reference: str) -> bool:
    return reference.encode() in msgspec.json.encode([schema, definitions])


def arguments_schema(arguments: type[msgspec.Struct], name: str) -> JsonSchema:
    """``inputSchema`` of a tool: always an object, closed against misspelt arguments."""
    schema = schema_of(arguments, name)
    schema.pop("description", None)
    return {"type": "object", **schema}


def check_schema(schema: JsonSchema, name: str) -> JsonSchema:
    """A schema that the author wrote: passed through unharmed, if clients can use it.

    Raises:
        DeclarationError: no object, another dialect than 2020-12, or a reference that would have
            to be fetched.
    """
    if schema.get("type") != "object":
        raise DeclarationError(f'{name}: input_schema must have "type": "object".')
    dialect = schema.get("$schema", DIALECT)
    if dialect.rstrip("#") != DIALECT:
        raise DeclarationError(
            f"{name}: the JSON Schema dialect {dialect} is not supported.", fix=f"Use {DIALECT}."
        )
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise DeclarationError(
                f"{name}: $ref {reference} is not within the schema.", fix="Put it into $defs."
            )
    return schema


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)


def result_type(annotation: Any) -> Any | None:
    """The type of structured content that a return annotation promises; None: none.

    Text and content objects are what a model reads, and promise no structure.
    """
    if annotation in (inspect.Parameter.empty, Any, None, type(None), str):
        return None
    return None if _is_content(annotation) else annotation


def _is_content(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, (*CONTENT_TYPES, ToolResult)):
        return True
    if get_origin(annotation) in (list, tuple, Union, types.UnionType):
        return any(_is_content(argument) for argument in get_args(annotation))
    return annotation is Content


def is_object_schema(schema: JsonSchema) -> bool:
    """Whether every value of the schema is a JSON object."""
    return schema.get("type") == "object"
