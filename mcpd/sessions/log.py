"""What sessions have under way: the messages of their streams and the answers they owe.

The contract of the logs behind it, as ``store`` is the contract for records. A message is
appended before it is sent, so that any process of the same store can replay it. One contract
test suite runs over every log.

A stream belongs to a call or is the session's own, SESSION_STREAM. A call's stream has one
writer, its owner, which numbers the messages 1, 2, 3, …; the log refuses whoever is not the
owner any more, so that a call that two processes came to run is answered once. Anybody may put
messages onto a session's own stream; the log numbers them.
"""

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from typing import Protocol

import msgspec

from mcpd.sessions.record import SessionId

SESSION_STREAM = "session"
MAX_EVENTS = 1000  # of one stream; the oldest go first
MAX_BYTES = 4 * 1024 * 1024  # of one stream
KEEP_FINISHED_S = 300.0  # for a client to come back
MAX_FINISHED = 128  # streams of one session; see ``append`` for which go first
MAX_FINISHED_BYTES = 16 * 1024 * 1024  # of one session, in those above SMALL_BYTES
SMALL_BYTES = 64 * 1024
MAX_KEPT_ID_BYTES = 48  # of a request id that its stream's id carries


class KeptCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call whose answer is a stream, with all that another process needs to go on with it."""

    session_id: SessionId
    stream_id: str
    request: bytes  # the JSON-RPC message
    subject: str
    issuer: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One message with its place in the stream."""

    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a stream. ``finished``: nothing comes behind these events."""

    events: list[Event]
    finished: bool


class StreamLog(Protocol):
    """Bounded by MAX_EVENTS and MAX_BYTES a stream, and by MAX_FINISHED and MAX_FINISHED_BYTES
    a session; what is finished is kept for KEEP_FINISHED_S. For a session that is over nothing
    is kept. Each method raises StoreError when the log cannot be reached.
    """

    async def begin(self, call: KeptCall) -> None:
        """Open the stream of a call; this process owns it.

        Raises:
            SessionNotFound: its session is over.
        """

    async def append(
        self,
        session_id: SessionId,
        stream_id: str,
        number: int,
        data: bytes | None,
        *,
        last: bool,
        unread: bool = False,
    ) -> bool:
        """Keep a message of a call's stream; ``last`` ends it, with or without one. A number
        that is there already changes nothing, so that a doubtful append can be repeated.

        A session that has too much that is finished loses what was read before what is
        ``unread`` (nobody followed it when it ended, so its client will come back), and of
        either what ended first.

        Returns False, and keeps nothing, if this process is not the owner or there is no such
        stream any more.
        """

    async def mark_unread(self, session_id: SessionId, stream_id: str) -> None:
        """Whoever followed a finished stream did not get the whole of it."""

    async def read(self, session_id: SessionId, stream_id: str, after: int) -> Page | None:
        """Some events behind ``after``, in order; None: there is no such stream."""

    async def last(self, session_id: SessionId) -> int:
        """The number of the newest message on the session's own stream; 0: there is none."""

    async def claim(self, session_id: SessionId, stream_id: str) -> KeptCall | None:
        """Become the owner of an unfinished stream whose owner is gone; None: nothing to do.

        Only for a stream that nobody in this process writes: one that it owns nevertheless is
        an earlier claim that was cut short, and is given again.
        """

    async def let_go(self, session_id: SessionId, stream_id: str) -> None:
        """This process goes on with a stream no more: if it is unfinished, any may claim it."""

    async def release(self) -> None:
        """This process stops: its unfinished streams have no owner from here on."""

    async def put(
        self, session_id: SessionId, data: bytes, *, drop_oldest: bool = True
    ) -> int | None:
        """Put a message onto the session's own stream, tell the other processes, and return its
        number. None: there is no room, and the oldest were not to be dropped; 0: the session is
        over.
        """

    async def has_room(self, session_id: SessionId) -> bool:
        """Whether the session's own stream takes a message without dropping one."""

    async def take(self, session_id: SessionId, through: int) -> None:
        """Drop messages of the session's own stream up to a number: they were read."""

    async def take_turn(
        self, session_id: SessionId, stream_id: str, follower: str, *, force: bool
    ) -> int | None:
        """One follower of a stream is served, over all processes: this one, if nobody is or
        ``force`` is given. Returns how far the last one that left had got; None: another one is
        served. The other processes are told.
        """

    async def end_turn(
        self, session_id: SessionId, stream_id: str, follower: str, reached: int
    ) -> None:
        """The follower left, and got that far; others are told, if it was the one served."""

    async def watch(self, session_id: SessionId, topics: frozenset[str]) -> None:
        """From here on ``announce`` of these topics, and of no others, reaches the session."""

    async def announce(self, topic: str, data: bytes) -> list[SessionId]:
        """Put a message onto the own stream of each session that watches; returns which."""

    async def ask(self, session_id: SessionId, asker: str, request_id: str) -> None:
        """A question goes out to the client: its answer will be taken."""

    async def answer(self, session_id: SessionId, request_id: str, reply: bytes) -> bool:
        """Keep the client's answer for whoever asked, and tell the other processes; the first
        one stays. False: nobody asked.
        """

    async def answer_to(self, session_id: SessionId, request_id: str) -> bytes | None:
        """The answer, if it came."""

    async def forget_questions(self, session_id: SessionId, asker: str) -> None:
        """Nobody waits for these answers any more."""

    async def sweep(self, now: float) -> None:
        """Drop what is past its age, where the log does not by itself."""

    def forget(self, session_id: SessionId) -> None:
        """The session is over: let go of what this process holds of it."""


# --- ids -------------------------------------------------------------------------------------


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
    """A name for somebody who asks and has no stream."""
    return secrets.token_hex(6)


def question_id(asker: str, content: bytes, times: int) -> str:
    """The JSON-RPC id of a question that is asked for the ``times``-th time: a call that is run
    again asks the same under the same id, and finds the answer if there is one.
    """
    return f"ask-{asker}-{hashlib.sha256(content).hexdigest()[:8]}-{times}"


def asker_of(request_id: str) -> str:
    """Who asked under this id."""
    return request_id.removeprefix("ask-").rsplit("-", 2)[0]


def next_own_number(last: int, now: float) -> int:
    """The number behind ``last`` on a session's own stream: microseconds since 1970 if that is
    more, so that a log that forgot the stream never counts backwards.
    """
    return max(last + 1, int(now * 1e6))
