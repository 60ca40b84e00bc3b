"""How a session's record is kept: a head of fixed length, which scripts change in place, and JSON.

The head is ``0`` or ``1`` (it has a principal) and the last activity, padded with spaces.
"""

import msgspec
from msgspec.structs import replace

from mcpd.sessions.record import Session

ACTIVITY_CHARS = 20  # of a time in seconds; its shortest exact form takes 18
HEAD_CHARS = 1 + ACTIVITY_CHARS

_decode = msgspec.json.Decoder(Session)


def pack(session: Session, activity: float) -> bytes:
    """As it is kept."""
    head = f"{is_bound(session)}{padded(activity)}"
    return head.encode("ascii") + encode(session)


def padded(activity: float) -> str:
    """A time as the head has it."""
    return f"{activity!r:>{ACTIVITY_CHARS}}"[:ACTIVITY_CHARS]


def is_bound(session: Session) -> str:
    """Whether it has a principal, as the head has it."""
    return "0" if session.subject is None else "1"


def encode(session: Session) -> bytes:
    """The part behind the head, which tells the last activity in its place."""
    return msgspec.json.encode(replace(session, last_activity=0))


def unpack(kept: bytes) -> tuple[Session, float, bytes]:
    """The record, its last activity, and the part behind the head."""
    activity, body = float(kept[1:HEAD_CHARS]), bytes(kept[HEAD_CHARS:])
    return replace(decode(body), last_activity=activity), activity, body


def decode(body: bytes) -> Session:
    """The record in the part behind the head."""
    session = _decode.decode(body)
    return replace(session, capabilities=session.capabilities.copy())
