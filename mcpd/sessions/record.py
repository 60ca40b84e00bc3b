"""What is kept of a session, and the table of its moves. Pure.

A registration is a session: it begins at POST /register or at ``initialize``, whichever comes
first. This file says which moves a session may make; the store keeps the result.
"""

import uuid
from enum import StrEnum
from typing import NewType

import msgspec

from mcpd.errors import InvalidRequest

SessionId = NewType("SessionId", str)

MAX_NAME_CHARS = 128
MAX_VERSION_CHARS = 64
MAX_AGENT_CHARS = 256


class State(StrEnum):
    """How far the handshake got."""

    REGISTERED = "registered"  # known, no revision yet
    NEGOTIATED = "negotiated"  # initialize was answered
    READY = "ready"  # notifications/initialized came


class Move(StrEnum):
    """What can happen to a session, beside its end."""

    INITIALIZE = "initialize"
    INITIALIZED = "initialized"


# state → move → next. An unlisted move raises and changes nothing. A client that starts anew
# with the id it kept may initialize again; one that repeats ``initialized`` does no harm.
MOVES: dict[State, dict[Move, State]] = {
    State.REGISTERED: {Move.INITIALIZE: State.NEGOTIATED},
    State.NEGOTIATED: {Move.INITIALIZE: State.NEGOTIATED, Move.INITIALIZED: State.READY},
    State.READY: {Move.INITIALIZE: State.NEGOTIATED, Move.INITIALIZED: State.READY},
}


def step(state: State, move: Move) -> State:
    """The state after ``move``.

    Raises:
        InvalidRequest: the move is not open in this state.
    """
    after = MOVES[state].get(move)
    if after is None:
        raise InvalidRequest(
            f"The session is {state.value}; {move.value} comes later.",
            fix="Send initialize first.",
        )
    return after


NO_CAPABILITIES = msgspec.Raw(b"{}")


class Session(msgspec.Struct, frozen=True, omit_defaults=True):
    """One session. Times are Unix seconds, UTC."""

    id: SessionId
    created_at: float
    last_activity: float
    state: State = State.REGISTERED
    client_name: str = ""
    client_version: str = ""
    capabilities: msgspec.Raw = NO_CAPABILITIES  # as they came: a decoded one takes far more
    address: str = ""
    user_agent: str = ""
    revision: str | None = None
    log_level: str | None = None
    subscriptions: list[str] = []  # URIs of resources
    issuer: str | None = None  # with subject: the principal that first used it
    subject: str | None = None
    transport: str = "streamable-http"


def new_session_id() -> SessionId:
    """A fresh id: UUID v4, 122 random bits from the operating system."""
    return SessionId(str(uuid.uuid4()))


def clean_label(value: object, max_chars: int) -> str:
    """A client's own word, safe to store, log and use as a label: printable and bounded."""
    if not isinstance(value, str):
        return ""
    printable = "".join(c if c.isprintable() else " " for c in value[: 4 * max_chars])
    return " ".join(printable.split())[:max_chars]
