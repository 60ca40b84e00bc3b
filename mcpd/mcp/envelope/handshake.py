"""The envelope of the handshake era over HTTP: a session, and a version header. Pure."""

from dataclasses import dataclass

from mcpd.auth.principals import Principal
from mcpd.errors import BadRequest
from mcpd.http.messages import Headers, Request
from mcpd.mcp.envelope.caller import Caller, caller_of_session
from mcpd.mcp.revisions import ASSUMED_WITHOUT_HEADER, BY_NAME, HANDSHAKE, VERSION_NAMES
from mcpd.mcp.transports.wire import Accepts
from mcpd.sessions.record import Session

HEADER_SESSION = b"mcp-session-id"
HEADER_SESSION_ALIAS = b"x-session-id"


def named_session(headers: Headers) -> str | None:
    """The id of the session that a request names."""
    return headers.one(HEADER_SESSION) or headers.one(HEADER_SESSION_ALIAS)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request to the MCP endpoint that passed session, token and owner."""

    request: Request
    principal: Principal
    session: Session | None
    accepted: Accepts
    header_version: str | None  # MCP-Protocol-Version

    @property
    def is_modern(self) -> bool:
        """Whether the header names a revision without sessions."""
        revision = BY_NAME.get(self.header_version or "")
        return revision is not None and revision.modern


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


def check_version_header(arrival: Arrival) -> None:
    """MCP 2025-06-18, transports, "Protocol Version Header".

    Raises:
        UnsupportedVersionHeader: it names no revision with a handshake.
    """
    header = arrival.header_version
    if header is not None and header not in HANDSHAKE:
        raise UnsupportedVersionHeader(
            "The header MCP-Protocol-Version names a version that is not spoken here.",
            data={"supported": VERSION_NAMES, "requested": header[:64]},
        )


def handshake_caller(arrival: Arrival) -> Caller:
    """The caller of a request in a session.

    The revision is what was negotiated; before that what the header names; without either it is
    what the specification says a missing header means.

    Raises:
        MissingSession: no session is named.
        UnsupportedVersionHeader: the header names no revision with a handshake.
    """
    check_version_header(arrival)
    session, header = arrival.session, arrival.header_version
    if session is None:
        raise no_session()
    revision = HANDSHAKE.get(session.revision or header or "", ASSUMED_WITHOUT_HEADER)
    return caller_of_session(session, arrival.principal, revision)
