"""The reading end of a stream: how far one connection is, and what comes next."""

import math
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

import trio

from mcpd.errors import StoreError
from mcpd.mcp.streams.lease import Lease, LeaseState
from mcpd.mcp.streams.local_readers import LocalReaders
from mcpd.mcp.streams.writer import CallWriter, WriterState
from mcpd.sessions.streams import SESSION_STREAM, Event, EventLog, StreamKey

LOOK_AT_LEASE_S = 5.0  # while another reader is served: its process may die
LOOK_AGAIN_S = 0.25  # at a stream that another process writes: signals may be lost
TOGETHER_BYTES = 64 * 1024  # of events that go out together; the last may pass it
STORE_AWAY_S = 1.0  # until a log that cannot be read is tried again


class End(Enum):
    """Why a reader has no next events."""

    FINISHED = auto()
    DISCONNECTED = auto()  # the client is to come back later
    OVERTAKEN = auto()  # a newer connection reads
    GONE = auto()  # the log does not know the stream
    UNWRITTEN = auto()  # for now: no process is known here to write it; ``wait_for_news`` goes on


class Reader:
    """One connection's place in a stream; a context manager. ``end`` tells why ``next`` returned
    nothing.

    Args:
        find_writer: of this process, if there is one.
        lease: None: no other process has readers.
        on_leave: called once, when the connection reads no more.

    Attributes:
        after: the number of the last event that was returned.
    """

    def __init__(
        self,
        key: StreamKey,
        name: str,
        events: EventLog,
        readers: LocalReaders,
        lease: Lease | None,
        *,
        after: int,
        find_writer: Callable[[StreamKey], CallWriter | None],
        on_leave: Callable[["Reader"], None],
    ) -> None:
        self.key = key
        self.name = name
        self.readers = readers
        self.lease = lease
        self.after = after
        self.end: End | None = None
        self._events = events
        self._find_writer = find_writer
        self._on_leave = on_leave
        self._is_own = key.stream_id == SESSION_STREAM
        self._writer = find_writer(key)
        self._disconnects = readers.disconnects
        self._lease_version = readers.lease_version
        self._buffer: deque[Event] = deque()
        self._finished = False
        self._overtaken = False
        self._seen = readers.changed

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._on_leave(self)

    @property
    def missed_the_end(self) -> bool:
        """Whether it left a finished stream before everything had gone out."""
        over = (WriterState.FINISHED, WriterState.LOST)
        ended = self._finished or (self._writer is not None and self._writer.state in over)
        return not self._is_own and ended and self.end is not End.FINISHED

    @property
    def has_news(self) -> bool:
        """Whether ``next`` would return without a wait, as far as is known here."""
        writer, lease = self._writer, self.lease
        is_served = lease is None or lease.state is LeaseState.HELD
        if not is_served or writer is None or not writer.has_all:
            return False
        page = writer.ring.behind(self.after)  # numbers may be taken by what was never sent
        return bool(page.events) or page.finished

    @property
    def has_ended(self) -> bool:
        """Whether the stream is finished, and all of it was returned."""
        return self._finished and not self._buffer

    async def next(self) -> list[Event]:
        """The next events, which are to go out together; none: there are no more, see ``end``.

        Cancellation: nothing is lost.
        """
        await trio.lowlevel.checkpoint()
        while self.end is None:
            changed = self.readers.changed
            if self.readers.disconnects != self._disconnects:
                self.end = End.DISCONNECTED
            elif self.readers.names[-1:] != [self.name]:
                await self._wait_until_served(changed, math.inf)
            elif self._doubts_lease():
                await self._acquire_lease()
            elif self.lease is not None and self.lease.state is LeaseState.WAITING:
                await self._wait_until_served(changed, LOOK_AT_LEASE_S)
            elif self._buffer:
                return self._take_buffered()
            elif self._finished:
                self.end = End.FINISHED
            elif not await self._fill():
                await self._wait(changed)
        return []

    def _doubts_lease(self) -> bool:
        """Whether a reader of another process may be served instead."""
        if self.lease is None:
            return False
        if self.readers.lease_version != self._lease_version:
            self._lease_version = self.readers.lease_version
            self.lease.doubt()
        return self.lease.state is LeaseState.UNSURE

    async def _acquire_lease(self) -> None:
        if self.lease is None:
            return
        try:
            reached = await self.lease.acquire()
        except StoreError:
            await trio.sleep(STORE_AWAY_S)  # the stream stays open meanwhile
        else:
            self.readers.delivered = max(self.readers.delivered, reached)

    async def _wait_until_served(self, changed: trio.Event, limit_s: float) -> None:
        """A call's stream is another reader's from here on; the session's own may come back."""
        if not self._is_own:
            self.end = End.OVERTAKEN
            return
        self._overtaken = True
        self._buffer.clear()
        with trio.move_on_after(limit_s):
            await changed.wait()
        if self.lease is not None:
            self.lease.doubt()

    def _take_buffered(self) -> list[Event]:
        taken, size = [], 0
        while self._buffer and size < TOGETHER_BYTES:
            taken.append(self._buffer.popleft())
            size += len(taken[-1].data)
        self.after = taken[-1].number
        self.readers.delivered = max(self.readers.delivered, self.after)
        return taken

    async def _fill(self) -> bool:
        """Read on; False: nothing new is there."""
        if self._overtaken:  # what went out on the other stream does not go out twice
            self.after, self._overtaken = max(self.after, self.readers.delivered), False
        writer = self._writer
        if writer is not None and writer.has_all:
            page = writer.ring.behind(self.after)
        else:
            try:
                kept = await self._events.read(*self.key, self.after)
            except StoreError:
                await trio.sleep(STORE_AWAY_S)  # the stream stays open meanwhile
                return True
            if kept is None:
                self.end = End.GONE
                return True
            page = kept
        self._buffer.extend(page.events)
        self._finished = page.finished
        return bool(page.events) or page.finished

    async def _wait(self, changed: trio.Event) -> None:
        if self._is_own or (self._writer is not None and self._writer.has_all):
            await changed.wait()
            return
        self._writer = self._find_writer(self.key)
        if self._writer is None:
            self.end, self._seen = End.UNWRITTEN, changed

    async def wait_for_news(self) -> None:
        """Go on after UNWRITTEN, when something changed or it is time to look again.

        Cancellation: at any time.
        """
        self.end = None
        with trio.move_on_after(LOOK_AGAIN_S):
            await self._seen.wait()
