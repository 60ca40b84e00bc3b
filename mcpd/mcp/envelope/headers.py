"""Tool parameters that 2026-07-28 mirrors into headers (``x-mcp-header``). Pure.

streamable-http, "Custom Headers from Tool Parameters": the declaration's constraints, and the check
that what a gateway read in the header is what the tool gets.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from mcpd.app.tool import Tool
from mcpd.errors import BadRequest, DeclarationError, HeaderMismatch
from mcpd.http.messages import Headers
from mcpd.mcp.envelope.modern import decode_value

KEYWORD = "x-mcp-header"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_PRIMITIVES = ("string", "integer", "boolean")


def mirrored_parameters(tool: Tool) -> dict[str, list[str]]:
    """Header name in lower case → path of property names.

    Raises:
        DeclarationError: a constraint of the specification is broken.
    """
    found: dict[str, list[str]] = {}
    for name, path, schema in reachable(tool.input_schema):
        if not is_header_name(name):
            raise _refuse(tool, f"{name!r} is no header name")
        if schema.get("type") not in _PRIMITIVES:
            raise _refuse(tool, f"{'.'.join(path)} is neither string, integer nor boolean")
        key = f"mcp-param-{name.lower()}"
        if key in found:
            raise _refuse(tool, f"two parameters are mirrored to {name}")
        found[key] = path
    if _count(tool.input_schema) != len(found):
        raise _refuse(tool, "only properties that are reached through properties can be mirrored")
    return found


def check_mirrored(headers: Headers, parameters: dict[str, list[str]], params: msgspec.Raw) -> None:
    """Each header must say what its argument says; without an argument there is no header.

    Raises:
        HeaderMismatch: naming the header.
    """
    arguments = msgspec.json.decode(params).get("arguments")
    for name, path in parameters.items():
        shown = "-".join(part.capitalize() for part in name.split("-"))
        try:
            header = headers.one(name.encode("ascii"))
        except BadRequest as error:
            raise HeaderMismatch(error.message, fix=error.fix) from error
        value = value_at(arguments, path)
        if value is None and header is None:
            continue
        if header is None or value is None:
            where = "is missing" if header is None else "has no argument beside it"
            raise HeaderMismatch(f"The header {shown} {where}.", fix="Mirror what you send.")
        if not _same(decode_value(header, shown), value):
            raise HeaderMismatch(
                f"The header {shown} does not match the argument {'.'.join(path)}.",
                fix="Send the same value in both.",
            )


def _same(header: str, value: Any) -> bool:
    if isinstance(value, bool):
        return header == ("true" if value else "false")
    if isinstance(value, int | float):
        try:
            return float(header) == float(value)  # 42.0 and 42 are equal, says the specification
        except ValueError:
            return False
    return isinstance(value, str) and header == value


def value_at(arguments: Any, path: list[str]) -> Any:
    """The argument at a path; None: there is none."""
    for name in path:
        if not isinstance(arguments, dict):
            return None
        arguments = arguments.get(name)
    return arguments


def is_header_name(name: Any) -> bool:
    """Whether a parameter can be mirrored under this name (RFC 9110, section 5.6.2)."""
    return isinstance(name, str) and _TOKEN.fullmatch(name) is not None


def reachable(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, list[str], Any]]:
    """Each declaration that is reached through properties: what it says, where, and its schema.
    The schema may be anybody's, and anything.
    """
    properties = schema.get("properties") if isinstance(schema, dict) else None
    for name, inner in properties.items() if isinstance(properties, dict) else ():
        if isinstance(inner, dict):
            if KEYWORD in inner:
                yield inner[KEYWORD], [*path, name], inner
            yield from reachable(inner, (*path, name))


def _count(schema: Any) -> int:
    if isinstance(schema, dict):
        return (KEYWORD in schema) + sum(_count(value) for value in schema.values())
    return sum(_count(item) for item in schema) if isinstance(schema, list) else 0


def _refuse(tool: Tool, reason: str) -> DeclarationError:
    return DeclarationError(f"{tool.name}: {KEYWORD}: {reason}.")
