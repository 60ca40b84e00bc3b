"""The reading end of a stream: one connection's place in it."""

import math
from collections import deque
from enum import Enum, auto
from typing import Protocol

import trio

from mcpd.errors import StoreError
from mcpd.mcp.streams.writer import CallStream
from mcpd.sessions.bus import Bus
from mcpd.sessions.log import SESSION_STREAM, Event, StreamLog
from mcpd.sessions.record import SessionId

LOOK_AT_TURN_S = 5.0  # while another connection is served: its process may die
LOOK_AGAIN_S = 0.25  # at a stream that another process writes: signals may be lost
STORE_AWAY_S = 1.0  # until a log that cannot be read is tried again

StreamKey = tuple[SessionId, str]


class End(Enum):
    """Why a follower has no next event."""

    FINISHED = auto()
    CUT = auto()  # come back later
    OVERTAKEN = auto()  # a newer connection follows
    GONE = auto()  # the log does not know the stream


class Place:
    """Where the followers of one stream in this process wait."""

    def __init__(self) -> None:
        self.changed = trio.Event()
        self.followers: list[Follower] = []  # the last one is served, if none elsewhere is
        self.turns = 0  # how often who is served over all processes may have changed
        self.delivered = 0
        self.cuts = 0
        self.retry_ms = 0  # told at a cut

    def wake(self) -> None:
        """Something changed."""
        self.changed.set()
        self.changed = trio.Event()


class Followed(Protocol):
    """What a follower needs of ``Streams``."""

    @property
    def log(self) -> StreamLog: ...
    @property
    def bus(self) -> Bus: ...
    def writer(self, session_id: SessionId, stream_id: str) -> CallStream | None: ...
    def leave(self, follower: "Follower") -> None: ...
    async def see_to(self, key: StreamKey) -> None: ...


class Follower:
    """A place in a stream; a context manager. ``end`` tells why ``next`` returned None."""

    def __init__(
        self,
        streams: Followed,
        key: StreamKey,
        place: Place,
        after: int,
        name: str,
        *,
        returning: bool,
    ) -> None:
        self.after = after
        self.key = key
        self.place = place
        self.name = name
        self.end: End | None = None
        self._streams = streams
        self._own = key[1] == SESSION_STREAM
        self._writer = streams.writer(*key)
        self._cuts = place.cuts
        self._buffer: deque[Event] = deque()
        self._finished = False
        self._overtaken = False
        self.took_turn = False  # as the log has it
        self._new = returning  # and takes over from whoever is served
        self._turns = -1 if returning else place.turns  # when the log was looked at
        self._has_turn = True

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self._streams.leave(self)

    @property
    def missed_the_end(self) -> bool:
        """Whether it left a finished stream before everything had gone out."""
        writer = self._writer
        over = self._finished or (writer is not None and writer.begun and writer.over)
        return not self._own and over and self.end is not End.FINISHED

    async def next(self) -> Event | None:
        """The next event; None: there is none, see ``end``.

        Cancellation: nothing is lost.
        """
        await trio.lowlevel.checkpoint()
        while self.end is None:
            changed = self.place.changed
            if self.place.cuts != self._cuts:
                self.end = End.CUT
            elif self.place.followers[-1:] != [self]:
                await self._wait_turn(changed, math.inf)
            elif self._streams.bus.shared and self._turns != self.place.turns:
                await self._look_at_turn()
            elif not self._has_turn:
                await self._wait_turn(changed, LOOK_AT_TURN_S)
            elif self._buffer:
                return self._take()
            elif self._finished:
                self.end = End.FINISHED
            elif not await self._fill():
                await self._wait(changed)
        return None

    async def _look_at_turn(self) -> None:
        """Whether no follower in another process is served instead."""
        turns = self.place.turns
        try:
            reached = await self._streams.log.take_turn(*self.key, self.name, force=self._new)
        except StoreError:
            await trio.sleep(STORE_AWAY_S)  # the stream stays open meanwhile
            return
        self._turns, self._new = turns, False
        self._has_turn = reached is not None
        if reached is not None:
            self.took_turn = True
            self.place.delivered = max(self.place.delivered, reached)

    async def _wait_turn(self, changed: trio.Event, limit_s: float) -> None:
        if self._own:
            self._overtaken = True
            self._buffer.clear()
            with trio.move_on_after(limit_s):
                await changed.wait()
            self._turns = -1
        else:
            self.end = End.OVERTAKEN

    def _take(self) -> Event:
        event = self._buffer.popleft()
        self.after = event.number
        self.place.delivered = max(self.place.delivered, event.number)
        return event

    async def _fill(self) -> bool:
        """Read on; False: nothing new is there."""
        if self._overtaken:  # what went out on the other stream does not go out twice
            self.after, self._overtaken = max(self.after, self.place.delivered), False
        writer = self._writer
        if writer is not None and not writer.lost:
            page = writer.ring.behind(self.after)
        else:
            try:
                found = await self._streams.log.read(*self.key, self.after)
            except StoreError:
                await trio.sleep(STORE_AWAY_S)  # the stream stays open meanwhile
                return True
            if found is None:
                self.end = End.GONE
                return True
            page = found
        self._buffer.extend(page.events)
        self._finished = page.finished
        return bool(page.events) or page.finished

    async def _wait(self, changed: trio.Event) -> None:
        if self._own or (self._writer is not None and not self._writer.lost):
            await changed.wait()
            return
        self._writer = self._streams.writer(*self.key)
        if self._writer is None:
            await self._streams.see_to(self.key)
            with trio.move_on_after(LOOK_AGAIN_S):
                await changed.wait()
