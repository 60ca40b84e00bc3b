"""The envelope of 2026-07-28: ``_meta`` of each request, and the headers that mirror the body.

Checks in order: the first that fails answers. Pure.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from mcpd.auth.principals import Principal
from mcpd.errors import InvalidParams, UnsupportedProtocolVersion
from mcpd.http.messages import Headers
from mcpd.mcp.envelope.caller import LEVEL_ORDER, Caller
from mcpd.mcp.envelope.headers import (
    HEADER_METHOD,
    HEADER_NAME,
    HEADER_VERSION,
    NAME_MEMBERS,
    check_header,
)
from mcpd.mcp.envelope.params import (
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_VERSION,
    Meta,
    Params,
)
from mcpd.mcp.revisions import BY_NAME, VERSION_NAMES, Revision
from mcpd.rpc.messages import Call


def modern_caller(
    call: Call,
    params: Params,
    headers: Headers | None,
    principal: Principal,
    versions: Sequence[str] = VERSION_NAMES,
) -> Caller:
    """Check the envelope and return the caller.

    Order: the members of ``_meta`` (without them nothing can be compared), the headers (what a
    gateway saw must be what we serve), the version, and last what only concerns this request.

    Args:
        headers: None on stdio, which has none.
        versions: told to a client that speaks another one.

    Raises:
        InvalidParams: a required member is missing or of the wrong type.
        HeaderMismatch: a header is missing or says something else.
        UnsupportedProtocolVersion: with the versions that are spoken here.
    """
    meta = params.meta
    if not isinstance(meta.version, str):
        raise _missing(META_VERSION, "a string")
    if headers is not None:
        _check_headers(call, params, meta.version, headers)
    revision = _supported(meta.version, versions)
    if not isinstance(meta.capabilities, dict):
        raise _missing(META_CAPABILITIES, "an object")
    return Caller(
        principal=principal,
        revision=revision,
        client_info=_client_info(meta),
        capabilities=meta.capabilities,
        log_level=_log_level(meta),
    )


def _check_headers(call: Call, params: Params, version: str, headers: Headers) -> None:
    """The standard headers must be there and say what the body says."""
    check_header(headers, HEADER_VERSION, version, f"_meta[{META_VERSION!r}]")
    check_header(headers, HEADER_METHOD, call.method, "method")
    member = NAME_MEMBERS.get(call.method)
    if member is not None:
        check_header(headers, HEADER_NAME, params.text(member), f"params.{member}", encoded=True)


def _supported(version: str, versions: Sequence[str]) -> Revision:
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
            data={"supported": _without_handshake(versions), "requested": version[:64]},
        )
    return revision


def _without_handshake(versions: Sequence[str]) -> list[str]:
    """Those that a client can name in ``_meta``: with another one it would be refused again."""
    return [name for name in versions if BY_NAME[name].modern]


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
    if not isinstance(level, str) or level not in LEVEL_ORDER:
        raise InvalidParams(
            f"_meta[{META_LOG_LEVEL!r}] is not a log level.",
            fix=f"It is one of {', '.join(LEVEL_ORDER)}.",
        )
    return level


def _missing(member: str, kind: str) -> InvalidParams:
    return InvalidParams(
        f"_meta[{member!r}] is missing or not {kind}.",
        fix="Every request of 2026-07-28 carries it.",
    )
