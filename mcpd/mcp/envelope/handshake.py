"""The envelope of the handshake era over HTTP: a session, and a version header. Pure."""

from mcpd.auth.principals import Principal
from mcpd.errors import BadRequest
from mcpd.mcp.envelope.caller import Caller, caller_of_session
from mcpd.mcp.revisions import ASSUMED_WITHOUT_HEADER, HANDSHAKE, VERSION_NAMES
from mcpd.sessions.record import Session


class EnvelopeFault(BadRequest):
    """The request as a whole is refused: its own status, in either era."""


class MissingSession(EnvelopeFault):
    """400: the request needs a session and names none."""

    slug = "missing_session_id"


class UnsupportedVersionHeader(EnvelopeFault):
    """400: an unsupported MCP-Protocol-Version (MCP 2025-06-18, transports)."""

    slug = "unsupported_protocol_version"


def no_session() -> MissingSession:
    """The refusal of a request without a session."""
    return MissingSession(
        "The header Mcp-Session-Id is missing.",
        fix="Send initialize first and then the id that it returns, or speak 2026-07-28.",
    )


def check_version_header(version: str | None) -> None:
    """MCP 2025-06-18, transports, "Protocol Version Header".

    Raises:
        UnsupportedVersionHeader: it names no revision with a handshake.
    """
    if version is not None and version not in HANDSHAKE:
        raise UnsupportedVersionHeader(
            "The header MCP-Protocol-Version names a version that is not spoken here.",
            data={"supported": VERSION_NAMES, "requested": version[:64]},
        )


def handshake_caller(session: Session | None, principal: Principal, version: str | None) -> Caller:
    """The caller of a request in a session.

    The revision is what was negotiated; before that what the header names; without either it is
    what the specification says a missing header means.

    Args:
        version: the header MCP-Protocol-Version.

    Raises:
        MissingSession: no session is named.
        UnsupportedVersionHeader: the header names no revision with a handshake.
    """
    check_version_header(version)
    if session is None:
        raise no_session()
    revision = HANDSHAKE.get(session.revision or version or "", ASSUMED_WITHOUT_HEADER)
    return caller_of_session(session, principal, revision)
