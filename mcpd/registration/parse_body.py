"""What a body posted to /register means: a session, or OAuth client registration. Pure."""

from enum import Enum, auto
from typing import Any

import msgspec

from mcpd.errors import BadRequest, McpdError
from mcpd.rpc.json_limits import check_shape

MAX_REGISTRATION_BYTES = 64 * 1024

OAUTH_MEMBERS = frozenset(
    {
        "redirect_uris", "grant_types", "response_types", "token_endpoint_auth_method",
        "software_id", "application_type", "jwks", "jwks_uri", "client_uri",
    }
)  # fmt: skip
SESSION_MEMBERS = frozenset({"client_info", "clientInfo", "capabilities"})


class BodyKind(Enum):
    """The two meanings of the path."""

    SESSION = auto()
    OAUTH_CLIENT = auto()  # RFC 7591


class UnreadableRegistration(BadRequest):
    """400, in RFC 7591's words, which both kinds of caller can read."""

    slug = "invalid_client_metadata"


def read_registration(body: bytes) -> tuple[BodyKind, dict[str, Any]]:
    """Decide by the members of the body.

    Raises:
        UnreadableRegistration: it is no JSON object, or fits neither shape.
    """
    if not body.strip():
        return BodyKind.SESSION, {}
    try:
        check_shape(body)
        members = msgspec.json.decode(body)
    except (msgspec.DecodeError, McpdError) as error:
        raise UnreadableRegistration("The body is not JSON.", fix=_SHAPES) from error
    if not isinstance(members, dict):
        raise UnreadableRegistration("The body is not a JSON object.", fix=_SHAPES)
    if OAUTH_MEMBERS & members.keys():
        return BodyKind.OAUTH_CLIENT, members
    if not members or SESSION_MEMBERS & members.keys():
        return BodyKind.SESSION, members
    raise UnreadableRegistration(
        "The body is neither a session registration nor an OAuth client registration.",
        received=sorted(str(name)[:64] for name in members)[:20],
        fix=_SHAPES,
    )


_SHAPES = (
    'For a session send {"client_info": {"name": "...", "version": "..."}, "capabilities": {}}'
    ' or nothing; for OAuth (RFC 7591) {"redirect_uris": ["..."], ...}.'
)


def client_of(members: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """client_info and capabilities; what is missing or of another type is empty."""
    info = members.get("client_info", members.get("clientInfo"))
    capabilities = members.get("capabilities")
    return (
        info if isinstance(info, dict) else {},
        capabilities if isinstance(capabilities, dict) else {},
    )
