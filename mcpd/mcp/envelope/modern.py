"""The envelope of 2026-07-28: ``_meta`` of each request, and the headers that mirror the body.

A ladder: the first rung that fails answers. Pure.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec

from mcpd.auth.principals import Principal
from mcpd.errors import HeaderMismatch, InvalidParams, UnsupportedProtocolVersion
from mcpd.http.messages import Headers
from mcpd.mcp.envelope.caller import LEVEL_ORDER, Caller
from mcpd.mcp.revisions import BY_NAME, VERSION_NAMES, Revision
from mcpd.rpc.messages import Call

PREFIX = "io.modelcontextprotocol/"
META_VERSION = PREFIX + "protocolVersion"
META_CLIENT_INFO = PREFIX + "clientInfo"
META_CAPABILITIES = PREFIX + "clientCapabilities"
META_LOG_LEVEL = PREFIX + "logLevel"
META_SERVER_INFO = PREFIX + "serverInfo"

HEADER_VERSION = b"mcp-protocol-version"
HEADER_METHOD = b"mcp-method"
HEADER_NAME = b"mcp-name"

# Which member of params Mcp-Name mirrors (streamable-http, "Standard Request Headers").
NAME_MEMBERS = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri",
    "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}  # fmt: skip
_SENTINEL_START, _SENTINEL_END = "=?base64?", "?="


class Meta(msgspec.Struct):
    """The reserved members of ``_meta``; what they hold is checked on the ladder."""

    version: Any = msgspec.field(default=msgspec.UNSET, name=META_VERSION)
    client_info: Any = msgspec.field(default=msgspec.UNSET, name=META_CLIENT_INFO)
    capabilities: Any = msgspec.field(default=msgspec.UNSET, name=META_CAPABILITIES)
    log_level: Any = msgspec.field(default=msgspec.UNSET, name=META_LOG_LEVEL)
    progress_token: Any = msgspec.field(default=msgspec.UNSET, name="progressToken")


class EnvelopeParams(msgspec.Struct):
    """What is read of every request's params before its method is looked at."""

    meta: Meta | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="_meta")
    name: Any = msgspec.UNSET
    uri: Any = msgspec.UNSET
    taskId: Any = msgspec.UNSET


_decoder = msgspec.json.Decoder(EnvelopeParams)
_NO_META = Meta()


def read_envelope(call: Call) -> EnvelopeParams:
    """Decode what the envelope needs of the params.

    Raises:
        InvalidParams: ``_meta`` is no object.
    """
    try:
        return _decoder.decode(call.params)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"The params are wrong: {error}.") from error


def has_modern_meta(envelope: EnvelopeParams) -> bool:
    """Whether ``_meta`` names a modern version, as no client of the handshake era does."""
    version = envelope.meta.version if isinstance(envelope.meta, Meta) else None
    revision = BY_NAME.get(version) if isinstance(version, str) else None
    return revision is not None and revision.modern


def is_modern(envelope: EnvelopeParams, header_version: str | None) -> bool:
    """Whether the client opened in the modern era: by ``_meta``, or by a modern header."""
    if isinstance(envelope.meta, Meta) and envelope.meta.version is not msgspec.UNSET:
        return True
    revision = BY_NAME.get(header_version or "")
    return revision is not None and revision.modern


def climb(
    call: Call,
    envelope: EnvelopeParams,
    headers: Headers | None,
    principal: Principal,
    versions: Sequence[str] = VERSION_NAMES,
) -> Caller:
    """Check the envelope, rung by rung, and return the caller.

    Order: the members of ``_meta`` (without them nothing can be compared), the headers (what a
    gateway saw must be what we serve), the version, and last what only concerns this request.

    Args:
        headers: None on stdio, which has none.

    Raises:
        InvalidParams: a required member is missing or of the wrong type.
        HeaderMismatch: a header is missing or says something else.
        UnsupportedProtocolVersion: with the versions that are spoken here.
    """
    meta = envelope.meta if isinstance(envelope.meta, Meta) else _NO_META
    if not isinstance(meta.version, str):
        raise _missing(META_VERSION, "a string")
    if headers is not None:
        check_headers(call, envelope, meta.version, headers)
    revision = supported(meta.version, versions)
    if not isinstance(meta.capabilities, dict):
        raise _missing(META_CAPABILITIES, "an object")
    return Caller(
        principal=principal,
        revision=revision,
        client_info=_client_info(meta),
        capabilities=meta.capabilities,
        log_level=_log_level(meta),
    )


def check_headers(call: Call, envelope: EnvelopeParams, version: str, headers: Headers) -> None:
    """The standard headers must be there and say what the body says.

    Raises:
        HeaderMismatch: naming the header.
    """
    _match(headers, HEADER_VERSION, version, f"_meta[{META_VERSION!r}]")
    _match(headers, HEADER_METHOD, call.method, "method")
    member = NAME_MEMBERS.get(call.method)
    if member is not None:
        value = getattr(envelope, member)
        if not isinstance(value, str):
            raise InvalidParams(f"params.{member} must be a string.")
        _match(headers, HEADER_NAME, value, f"params.{member}", encoded=True)


def _match(
    headers: Headers, name: bytes, expected: str, member: str, *, encoded: bool = False
) -> None:
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


def supported(version: str, versions: Sequence[str] = VERSION_NAMES) -> Revision:
    """The modern revision of this name; ``versions`` are told if there is none.

    Raises:
        UnsupportedProtocolVersion: there is none.
    """
    revision = BY_NAME.get(version)
    if revision is None or not revision.modern:
        raise UnsupportedProtocolVersion(
            "This protocol version is not spoken here without a handshake."
            if revision is not None
            else "This protocol version is not spoken here.",
            data={"supported": versions, "requested": version[:64]},
        )
    return revision


def _client_info(meta: Meta) -> dict[str, Any]:
    info = meta.client_info
    if info is msgspec.UNSET:
        return {}
    if not isinstance(info, dict):
        raise _missing(META_CLIENT_INFO, "an object")
    return info


def _log_level(meta: Meta) -> str | None:
    level = meta.log_level
    if level is msgspec.UNSET:
        return None
    if level not in LEVEL_ORDER:
        raise InvalidParams(
            f"_meta[{META_LOG_LEVEL!r}] is not a log level.",
            fix=f"It is one of {', '.join(LEVEL_ORDER)}.",
        )
    return str(level)


def _missing(member: str, kind: str) -> InvalidParams:
    return InvalidParams(
        f"_meta[{member!r}] is missing or not {kind}.",
        fix="Every request of 2026-07-28 carries it.",
    )
