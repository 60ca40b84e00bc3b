"""What sessions have under way: the contracts of what is kept beside their records.

Five subjects, each a contract of its own: the messages of streams, who goes on with a call, which
reader is served, the answers of clients, and who is told of changes. A message is kept before it is
sent, so that any process of the same store can send it again. One contract test suite runs over all
stores.

A stream belongs to a call or is the session's own, SESSION_STREAM. A call's stream has one
writer, its owner, which numbers the messages 1, 2, 3, …; the log refuses a process that is not the
owner any more, so that a call that two processes came to run is answered once. Any process may put
messages onto a session's own stream; the log numbers them.

Each method raises StoreError when the store cannot be reached. Nothing is kept for a session that
is over.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from mcpd.sessions.record import SessionId

SESSION_STREAM = "session"
MAX_EVENTS = 1000  # of one stream; the oldest go first
MAX_BYTES = 4 * 1024 * 1024  # of one stream
KEEP_FINISHED_S = 300.0  # for a client to come back
MAX_FINISHED = 128  # streams of one session; see ``append`` for which go first
FINISHED_SLACK = 16  # so many more may be there before a store looks
MAX_FINISHED_BYTES = 16 * 1024 * 1024  # of one session, in those above SMALL_BYTES
SMALL_BYTES = 64 * 1024


class StreamKey(NamedTuple):
    """One stream of one session."""

    session_id: SessionId
    stream_id: str


class KeptCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call whose answer is a stream, with all that another process needs to go on with it."""

    session_id: SessionId
    stream_id: str
    request: bytes  # the JSON-RPC message
    subject: str
    issuer: str = ""
    scopes: tuple[str, ...] = ()  # as the credential has them
    credential: str = ""  # id of the API key or jti of the token
    token_type: str = "access"


class Event(msgspec.Struct, frozen=True):
    """One message with its place in the stream."""

    number: int
    data: bytes


class Page(msgspec.Struct, frozen=True):
    """A part of a stream. ``finished``: nothing comes behind these events."""

    events: list[Event]
    finished: bool


class EventLog(Protocol):
    """The messages of streams. Bounded by MAX_EVENTS and MAX_BYTES a stream, and by MAX_FINISHED
    (with FINISHED_SLACK) and MAX_FINISHED_BYTES a session; what is finished is kept for
    KEEP_FINISHED_S.
    """

    async def begin(
        self,
        call: KeptCall,
        messages: Sequence[bytes] = (),
        *,
        last: bool = False,
        unread: bool = False,
    ) -> None:
        """Open the stream of a call; this process owns it. Its first messages can be kept with
        it, see ``append``. A doubtful one can be repeated.

        Raises:
            SessionNotFound: its session is over.
        """

    async def append(
        self,
        session_id: SessionId,
        stream_id: str,
        number: int,
        messages: Sequence[bytes],
        *,
        last: bool,
        unread: bool = False,
    ) -> bool:
        """Keep messages of a call's stream, the first of them under ``number``; ``last`` ends it,
        with or without one. A number that is there already changes nothing, so that a doubtful
        append can be repeated.

        A session that has too much that is finished loses what was read before what is
        ``unread`` (no reader had it when it ended, so its client will come back), and of
        either what ended first.

        Returns False, and keeps nothing, if this process is not the owner or there is no such
        stream any more.
        """

    async def mark_unread(self, session_id: SessionId, stream_id: str) -> None:
        """The reader of a finished stream did not get the whole of it."""

    async def read(self, session_id: SessionId, stream_id: str, after: int) -> Page | None:
        """Some events behind ``after``, in order; None: there is no such stream."""

    async def newest(self, session_id: SessionId) -> int:
        """The number of the newest message on the session's own stream; 0: there is none."""

    async def put(
        self, session_id: SessionId, data: bytes, *, drop_oldest: bool = True
    ) -> int | None:
        """Put a message onto the session's own stream, tell the other processes, and return its
        number. None: there is no room, and the oldest were not to be dropped; 0: the session is
        over.
        """

    async def has_room(self, session_id: SessionId) -> bool:
        """Whether the session's own stream takes a message without dropping one."""

    async def drop_through(self, session_id: SessionId, through: int) -> None:
        """Drop messages of the session's own stream up to a number: they were read."""

    async def sweep(self, now: float) -> None:
        """Drop what is past its age, where the log does not by itself."""

    def forget(self, session_id: SessionId) -> None:
        """The session is over: let go of what this process holds of it."""


class CallOwnership(Protocol):
    """Which process goes on with a call whose stream is not finished. A store that ends with its
    process has none.
    """

    async def claim(self, session_id: SessionId, stream_id: str) -> KeptCall | None:
        """Become the owner of an unfinished stream whose owner is gone; None: nothing to do.

        Only for a stream that this process does not write: one that it owns nevertheless is
        an earlier claim that was cut short, and is given again.
        """

    async def disown(self, session_id: SessionId, stream_id: str) -> None:
        """Go on with a stream no more: if it is unfinished, any process may claim it."""

    async def disown_all(self) -> None:
        """This process stops: its unfinished streams have no owner from here on."""


class DeliveryLease(Protocol):
    """Which reader of a stream is served, over all processes. A store of one process has none: its
    readers know each other.
    """

    async def acquire(
        self, session_id: SessionId, stream_id: str, reader: str, *, force: bool
    ) -> int | None:
        """One reader of a stream is served, over all processes: this one, if none is or
        ``force`` is given. Returns how far the last one that left had got; None: another one is
        served. The other processes are told.
        """

    async def release(
        self, session_id: SessionId, stream_id: str, reader: str, reached: int
    ) -> None:
        """The reader left, and got that far; if it was the one served, the other processes are
        told.
        """


class AnswerInbox(Protocol):
    """Answers of clients to what they were asked; one may be posted to any process."""

    async def expect(self, session_id: SessionId, asker: str, request_id: str) -> None:
        """A question goes out to the client: its answer will be taken."""

    async def deliver(self, session_id: SessionId, request_id: str, reply: bytes) -> bool:
        """Keep the client's answer for the process that asked, and tell the other processes; the
        first one stays. False: it was not asked.
        """

    async def find(self, session_id: SessionId, request_id: str) -> bytes | None:
        """The answer, if it came."""

    async def forget(self, session_id: SessionId, asker: str) -> None:
        """These answers are not waited for any more."""


class ChangeWatches(Protocol):
    """Which sessions are told of which changes, connected or not."""

    async def watch(self, session_id: SessionId, topics: frozenset[str]) -> None:
        """From here on ``announce`` of these topics, and of no others, reaches the session."""

    async def announce(self, topic: str, data: bytes) -> list[SessionId]:
        """Put a message onto the own stream of each session that watches; returns which."""
