"""The messages of a session's streams, kept so that a client that lost one gets the rest.

Writers append and never wait; whoever is connected follows. An event id is the stream's id and a
number, so a Last-Event-ID finds its own stream and nothing of another (MCP, "Resumability").
"""

import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass

import trio

from mcpd.sessions.record import SessionId

MAX_EVENTS = 1000  # of one stream
MAX_BYTES = 4 * 1024 * 1024  # of one stream
MAX_STREAMS = 32  # of one session
SESSION_STREAM = "session"
KEEP_FINISHED_S = 300.0  # for a client to come back


@dataclass(frozen=True, slots=True)
class Event:
    """One message with its place in the stream."""

    number: int
    id: str
    data: bytes


class Stream:
    """One stream. It is bounded: the oldest events go first, and a client that comes back later
    than that gets what is left.
    """

    def __init__(self, stream_id: str) -> None:
        self.id = stream_id
        self.finished_at: float | None = None
        self.retry_ms = 0  # told at a cut
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._last = 0
        self._changed = trio.Event()
        self._followers: list[Follower] = []  # the last one is served
        self._cuts = 0
        self.read_once = False  # what is taken is gone; what is not taken never is

    @property
    def last(self) -> int:
        """The number of the newest event; 0: there is none."""
        return self._last

    def event_id(self, number: int) -> str:
        """The id of an event of this stream; of 0, the one that stands before all."""
        return f"{self.id}.{number}"

    def append(self, data: bytes) -> None:
        """Add a message."""
        self._last += 1
        self._events.append(Event(self._last, self.event_id(self._last), data))
        self._bytes += len(data)
        while self.is_full and len(self._events) > 1 and not self.read_once:
            self._drop_oldest()
        self._wake()

    def _drop_oldest(self) -> None:
        self._bytes -= len(self._events.popleft().data)

    @property
    def is_full(self) -> bool:
        """Whether it holds more than its bounds; one that is read once waits for its reader."""
        return len(self._events) > MAX_EVENTS or self._bytes > MAX_BYTES

    async def room(self) -> None:
        """Wait until it is not full.

        Cancellation: at any time.
        """
        await trio.lowlevel.checkpoint()
        while self.is_full:
            await self._changed.wait()

    def _take(self, event: Event) -> None:
        if self.read_once:
            was_full = self.is_full
            while self._events and self._events[0].number <= event.number:
                self._drop_oldest()
            if was_full:
                self._wake()

    def finish(self, data: bytes | None = None) -> None:
        """The last message, if there is one; nothing comes any more."""
        self.finished_at = trio.current_time()
        if data is None:
            self._wake()
        else:
            self.append(data)

    def cut(self, retry_ms: int) -> None:
        """End the follower's stream now; it may come back for the rest."""
        self.retry_ms = retry_ms
        self._cuts += 1
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def follow(self, after: int) -> "Follower":
        """Every event behind ``after``, then each new one; ends with the stream or at a cut.

        A message goes out on one connection only, so a newer follower takes over. What a call
        had is then over for the older one; on the session's own stream it waits, since a client
        may hold several of those.
        """
        follower = Follower(self, after, self._cuts)
        self._followers.append(follower)
        self._wake()
        return follower

    def leave(self, follower: "Follower") -> None:
        """A follower is gone; an older one may be served again."""
        if follower in self._followers:
            self._followers.remove(follower)
            self._wake()

    async def next(self, follower: "Follower") -> Event | None:
        """See Follower.next."""
        while self._cuts == follower.cuts:
            changed = self._changed
            if self._followers and follower is self._followers[-1]:
                found = next((e for e in self._events if e.number > follower.after), None)
                if found is not None:
                    self._take(found)
                    return found
                if self.finished_at is not None:
                    return None
            elif self.id != SESSION_STREAM or self.finished_at is not None:
                return None
            await changed.wait()
        return None


class Follower:
    """A place in a stream; a context manager."""

    def __init__(self, stream: Stream, after: int, cuts: int) -> None:
        self.after = after
        self.cuts = cuts
        self._stream = stream

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.leave(self)

    async def next(self) -> Event | None:
        """The next event; None: the stream is finished, was cut, or is another's now.

        Cancellation: nothing is lost.
        """
        event = await self._stream.next(self)
        if event is not None:
            self.after = event.number
        return event


class Streams:
    """The streams of all sessions of this process."""

    def __init__(self) -> None:
        self._sessions: dict[SessionId, OrderedDict[str, Stream]] = {}

    def open(self, session_id: SessionId) -> Stream:
        """A stream for a call."""
        streams = self._sessions.setdefault(session_id, OrderedDict())
        self._drop_old(streams)
        stream = Stream(secrets.token_hex(6))
        streams[stream.id] = stream
        return stream

    def of_session(self, session_id: SessionId) -> Stream:
        """The session's own stream, which no call began."""
        streams = self._sessions.setdefault(session_id, OrderedDict())
        found = streams.get(SESSION_STREAM)
        if found is None:
            found = streams[SESSION_STREAM] = Stream(SESSION_STREAM)
        return found

    def find(self, session_id: SessionId, event_id: str) -> tuple[Stream, int] | None:
        """The stream of an event id and the event's number; None: it is not known here."""
        stream_id, _, number = event_id.rpartition(".")
        streams = self._sessions.get(session_id)
        stream = None if streams is None else streams.get(stream_id)
        if stream is None or not number.isdecimal() or len(number) > 9:
            return None
        return stream, int(number)

    def forget(self, session_id: SessionId) -> None:
        """The session is over."""
        self._sessions.pop(session_id, None)

    def discard(self, session_id: SessionId, stream: Stream) -> None:
        """A stream that nobody was told of."""
        streams = self._sessions.get(session_id)
        if streams is not None:
            streams.pop(stream.id, None)
            if not streams:
                del self._sessions[session_id]

    def _drop_old(self, streams: OrderedDict[str, Stream]) -> None:
        now = trio.current_time()
        for stream in list(streams.values()):
            too_old = stream.finished_at is not None and now - stream.finished_at > KEEP_FINISHED_S
            too_many = len(streams) >= MAX_STREAMS and stream.id != SESSION_STREAM
            if too_old or (too_many and stream.finished_at is not None):
                del streams[stream.id]
