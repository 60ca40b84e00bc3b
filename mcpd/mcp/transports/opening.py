"""A new session, from the request that opens it."""

from typing import Any

from msgspec.structs import replace

from mcpd.auth.principals import Principal
from mcpd.http.messages import Request
from mcpd.sessions.record import (
    MAX_AGENT_CHARS,
    Move,
    Session,
    State,
    clean_label,
    new_session_id,
    step,
)


def new_session(request: Request, *, now: float) -> Session:
    """A session with what every opening request tells: where it comes from."""
    return Session(
        id=new_session_id(),
        created_at=now,
        last_activity=now,
        address=request.peer.address,
        user_agent=clean_label(request.headers.one(b"user-agent"), MAX_AGENT_CHARS),
    )


def opened_by_initialize(
    request: Request, principal: Principal, changes: dict[str, Any], *, now: float
) -> Session:
    """The session of a client that never registered; it belongs to the caller at once."""
    session: Session = replace(
        new_session(request, now=now),
        state=step(State.REGISTERED, Move.INITIALIZE),
        issuer=principal.issuer,
        subject=principal.subject,
        **changes,
    )
    return session
