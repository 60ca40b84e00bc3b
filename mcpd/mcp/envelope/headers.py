"""Headers of 2026-07-28 that mirror the body, and how a value becomes a header. Pure.

streamable-http, "Standard Request Headers" and "Custom Headers from Tool Parameters": what a
gateway read in a header must be what the method gets.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from mcpd.app.schemas import JsonSchema
from mcpd.errors import BadRequest, DeclarationError, HeaderMismatch, InvalidParams
from mcpd.http.messages import Headers

HEADER_VERSION = b"mcp-protocol-version"
HEADER_METHOD = b"mcp-method"
HEADER_NAME = b"mcp-name"
HEADER_SESSION = b"mcp-session-id"
HEADER_SESSION_ALIAS = b"x-session-id"

# Which member of params Mcp-Name mirrors (streamable-http, "Standard Request Headers").
NAME_MEMBERS = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri",
    "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}  # fmt: skip

_SENTINEL_START, _SENTINEL_END = "=?base64?", "?="

KEYWORD = "x-mcp-header"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_PRIMITIVES = ("string", "integer", "boolean")


def encode_value(value: str) -> str:
    """A field value, in Base64 where it cannot be sent as it is (streamable-http, "Value
    Encoding").
    """
    plain = all(32 <= ord(c) < 127 or c == "\t" for c in value) and value == value.strip()
    if plain and not value.startswith(_SENTINEL_START):
        return value
    encoded = base64.b64encode(value.encode("utf-8", "surrogatepass")).decode("ascii")
    return f"{_SENTINEL_START}{encoded}{_SENTINEL_END}"


def decode_value(value: str, shown: str) -> str:
    """Undo the Base64 sentinel (streamable-http, "Value Encoding").

    Raises:
        HeaderMismatch: characters that a header may not hold, or broken Base64.
    """
    if any(not 32 <= ord(character) < 127 and character != "\t" for character in value):
        raise HeaderMismatch(f"The header {shown} holds characters outside of printable ASCII.")
    if not (value.startswith(_SENTINEL_START) and value.endswith(_SENTINEL_END)):
        return value
    try:
        inner = value[len(_SENTINEL_START) : -len(_SENTINEL_END)]
        return base64.b64decode(inner, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise HeaderMismatch(f"The header {shown} is not valid Base64 of UTF-8.") from None


def session_named(headers: Headers) -> str | None:
    """The id of the session that a request names."""
    return headers.one(HEADER_SESSION) or headers.one(HEADER_SESSION_ALIAS)


def says_who(headers: Headers) -> bool:
    """Whether a request names a session or a revision."""
    return HEADER_VERSION in headers or session_named(headers) is not None


def check_header(
    headers: Headers, name: bytes, expected: str, member: str, *, encoded: bool = False
) -> None:
    """A header must be there and say what the body says.

    Args:
        member: of the body, in words.
        encoded: the value may stand in Base64.

    Raises:
        HeaderMismatch: naming the header.
    """
    shown = name.decode("ascii").title().replace("Mcp-Protocol", "MCP-Protocol")
    value = headers.one(name)
    if value is None:
        raise HeaderMismatch(f"The header {shown} is missing.", fix=f"Send the value of {member}.")
    if value == expected and not value.startswith(_SENTINEL_START):
        return
    if (decode_value(value, shown) if encoded else value) != expected:
        raise HeaderMismatch(
            f"The header {shown} does not match {member}.",
            received=value[:200],
            fix="Send the same value in both.",
        )


def mirrored_parameters(tool: str, schema: JsonSchema) -> dict[str, list[str]]:
    """Header name in lower case → path of property names.

    Raises:
        DeclarationError: a constraint of the specification is broken.
    """
    found: dict[str, list[str]] = {}
    for name, path, declared in reachable(schema):
        if not is_header_name(name):
            raise _refuse(tool, f"{name!r} is no header name")
        if declared.get("type") not in _PRIMITIVES:
            raise _refuse(tool, f"{'.'.join(path)} is neither string, integer nor boolean")
        key = f"mcp-param-{name.lower()}"
        if key in found:
            raise _refuse(tool, f"two parameters are mirrored to {name}")
        found[key] = path
    if _count(schema) != len(found):
        raise _refuse(tool, "only properties that are reached through properties can be mirrored")
    return found


def check_mirrored(
    headers: Headers, parameters: dict[str, list[str]], arguments: msgspec.Raw
) -> None:
    """Each header must say what its argument says; without an argument there is no header.

    Raises:
        HeaderMismatch: naming the header.
        InvalidParams: the arguments hold a number that is out of range.
    """
    try:
        given = msgspec.json.decode(arguments)
    except msgspec.DecodeError as error:
        raise InvalidParams(f"params.arguments is wrong: {error}.") from error
    for name, path in parameters.items():
        shown = "-".join(part.capitalize() for part in name.split("-"))
        try:
            header = headers.one(name.encode("ascii"))
        except BadRequest as error:
            raise HeaderMismatch(error.message, fix=error.fix) from error
        value = value_at(given, path)
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
    The schema may come from any server, and be anything.
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


def _refuse(tool: str, reason: str) -> DeclarationError:
    return DeclarationError(f"{tool}: {KEYWORD}: {reason}.")
