"""The ids of streams, events and questions: what each of them tells by itself. Pure."""

import base64
import binascii
import hashlib
import secrets

from mcpd.sessions.record import SessionId

MAX_KEPT_ID_BYTES = 48  # of a request id that its stream's id carries


def new_stream_id(session_id: SessionId, request_id: bytes) -> str:
    """A fresh id for a call's stream. It carries the id of the request (if that is short), so
    that even a process that knows nothing of the stream can say which call was lost.
    """
    random = secrets.token_hex(6)
    if len(request_id) > MAX_KEPT_ID_BYTES:
        return random
    encoded = base64.urlsafe_b64encode(request_id).decode("ascii").rstrip("=")
    return f"{random}{_mark(session_id, random, request_id)}-{encoded}"


def request_of(session_id: SessionId, stream_id: str) -> bytes | None:
    """The id of the request behind a stream of this session, as JSON text, if it is carried."""
    head, _, encoded = stream_id.partition("-")
    if not encoded or len(encoded) > 2 * MAX_KEPT_ID_BYTES:
        return None
    try:
        request_id = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    ours = head[12:] == _mark(session_id, head[:12], request_id)
    return request_id if ours else None


def _mark(session_id: SessionId, random: str, request_id: bytes) -> str:
    """Ties a stream's id to its session: an id of another one means nothing here."""
    return hashlib.sha256(f"{session_id} {random} ".encode() + request_id).hexdigest()[:8]


def event_id(stream_id: str, number: int) -> str:
    """The id of an event: it names its stream, so that none of another is replayed."""
    return f"{stream_id}.{number}"


def read_event_id(text: str) -> tuple[str, int] | None:
    """The stream and the number behind an event id; None: it is not one of ours."""
    stream_id, _, number = text.rpartition(".")
    if not stream_id or len(text) > 256 or not (number.isascii() and number.isdecimal()):
        return None
    return stream_id, min(int(number), 2**53)


def new_asker() -> str:
    """A name for an asker that has no stream."""
    return secrets.token_hex(6)


def question_id(asker: str, content: bytes, times: int) -> str:
    """The JSON-RPC id of a question that is asked for the ``times``-th time: a call that is run
    again asks the same under the same id, and finds the answer if there is one.
    """
    return f"ask-{asker}-{hashlib.sha256(content).hexdigest()[:8]}-{times}"


def asker_of(request_id: str) -> str:
    """The asker behind this id."""
    return request_id.removeprefix("ask-").rsplit("-", 2)[0]


def next_own_number(last: int, now: float) -> int:
    """The number behind ``last`` on a session's own stream: microseconds since 1970 if that is
    more, so that a log that forgot the stream never counts backwards.
    """
    return max(last + 1, int(now * 1e6))
