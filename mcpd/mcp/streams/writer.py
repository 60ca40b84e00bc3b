"""The writing end of a call's stream.

A call that sends nothing before its result is answered plainly and leaves no trace in the log.
From its first message on it is kept: the client can come back for the rest, to any process.

A log that is full keeps no client that is connected from its answer: messages go out that are not
kept, and how the call ended is written when there is room again.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto

import msgspec
import trio

from mcpd.coalescing import Coalescer
from mcpd.errors import McpdError
from mcpd.mcp.streams.keep import Write, keep
from mcpd.mcp.streams.local_readers import LocalReaders
from mcpd.mcp.streams.run_history import RunHistory
from mcpd.sessions.retry import retry_while_away
from mcpd.sessions.ring import Ring
from mcpd.sessions.streams import Event, EventLog, KeptCall, StreamKey
from mcpd.turn import Turn

log = logging.getLogger("mcpd.mcp")

BROKEN_RETRY_MS = 1000  # for a client whose call could not be kept to the end


class WriterState(Enum):
    """How far the stream of a call is."""

    NEW = auto()  # nothing was sent, and nothing is kept
    STREAMING = auto()  # it is kept, and more may come
    PLAIN = auto()  # over: answered without a stream
    FINISHED = auto()  # over: the last message is kept
    FAILED = auto()  # over: it could not be kept, and nothing was sent
    LOST = auto()  # over for this process alone: it is kept, and not finished


class WriterMove(Enum):
    """What can happen to it."""

    OPEN = auto()  # it is to be kept from here on
    FINISH = auto()  # the answer is there
    LOSE = auto()  # this process writes it no more


MOVES: dict[WriterState, dict[WriterMove, WriterState]] = {
    WriterState.NEW: {
        WriterMove.OPEN: WriterState.STREAMING,
        WriterMove.FINISH: WriterState.PLAIN,
        WriterMove.LOSE: WriterState.FAILED,
    },
    WriterState.STREAMING: {
        WriterMove.FINISH: WriterState.FINISHED,
        WriterMove.LOSE: WriterState.LOST,
    },
    WriterState.PLAIN: {},
    WriterState.FINISHED: {},
    WriterState.FAILED: {},
    WriterState.LOST: {},
}


class StreamLost(Exception):
    """Another process has the call now, or its session is over; nothing more is sent for it."""


class CallWriter:
    """One call's messages, numbered and kept.

    Args:
        readers: of this process.
        tell_elsewhere: tells readers in other processes that there is more.
        on_end: called once, when this process writes no more; told whether the stream is left
            unfinished.
        write_later: takes what a full log did not.
        start_soon: starts a task that may outlive the call.

    Attributes:
        settled: set when it is known whether there is a stream.
        plain_answer: the answer of a call that sent nothing else; None: it gets none.
        history: what its runs told and asked.
        on_lost: called when a posted message finds that the stream is not ours any more.
    """

    def __init__(
        self,
        events: EventLog,
        call: KeptCall,
        readers: LocalReaders,
        *,
        tell_elsewhere: Callable[[], None],
        on_end: Callable[[bool], None],
        write_later: Callable[[Write], None],
        start_soon: Callable[[Write], None],
    ) -> None:
        self.key = StreamKey(call.session_id, call.stream_id)
        self.state = WriterState.NEW
        self.settled = trio.Event()
        self.ring = Ring()  # what was written, for readers in this process
        self.plain_answer: bytes | None = None
        self.history = RunHistory(call.stream_id)
        self.readers = readers
        self._events = events
        self._call = call
        self._tell_elsewhere = tell_elsewhere
        self._on_end = on_end
        self._write_later = write_later
        self.on_lost: Callable[[], None] | None = None
        self._turn = Turn()
        self._posted = Coalescer(self._write_posted, start_soon)

    @property
    def is_live(self) -> bool:
        """Whether more may come from this process."""
        return bool(MOVES[self.state])

    @property
    def has_all(self) -> bool:
        """Whether its ring can be read in the place of the log."""
        return self.state not in (WriterState.FAILED, WriterState.LOST)

    @property
    def is_kept(self) -> bool:
        """Whether there is a stream, over or not."""
        return self.state in (WriterState.STREAMING, WriterState.FINISHED, WriterState.LOST)

    def _move(self, move: WriterMove) -> None:
        self.state = MOVES[self.state][move]
        self.settled.set()
        if not self.is_live:
            self._on_end(self.state is WriterState.LOST)
        self._wake()

    def _wake(self) -> None:
        self.readers.wake()
        self._tell_elsewhere()

    # --- going on with what another process wrote -----------------------------------------------

    def take_over(self, events: list[Event]) -> None:
        """Go on behind these events, which another process wrote; no more if it was given up."""
        if not self.is_live:
            return
        for event in events:
            self.ring.append(event.number, event.data)
            self.history.learn(event.data)
        self._move(WriterMove.OPEN)

    # --- writing --------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to keep the stream, if that is still to be done. Does nothing to one that is over.

        Raises:
            StoreError: the store stayed away for STORE_AWAY_LIMIT_S, or takes no writes; the
                answer goes out plainly.
        """
        async with self._turn:
            if self.state is WriterState.NEW:
                await self._begin([])

    async def send(self, message: bytes) -> None:
        """Keep a message, behind what was posted, and let it go out.

        Raises:
            StreamLost: it is not ours to send any more.
            StoreError: the store stayed away for STORE_AWAY_LIMIT_S, or takes no writes.
        """
        async with self._turn:
            await self._write([*self._posted.take(), message])

    async def post(self, message: bytes) -> None:
        """Keep a message that only informs, soon, and let it go out. It is dropped if it cannot be
        kept: the answer does not depend on it.

        Raises:
            StreamLost: it is not ours to send any more.
        """
        if not self.is_live:
            raise StreamLost
        if await self._posted.put(message):
            await self.readers.have_turns(self.ring.last)

    async def _write_posted(self) -> None:
        async with self._turn:
            messages = self._posted.take()
            try:
                if messages:
                    await self._write(messages)
            except StreamLost:
                if self.on_lost is not None:
                    self.on_lost()
            except McpdError as error:  # the store is away or full, or the session is over
                log.debug("messages are not sent: %s", error.message)
            except Exception:
                log.exception("messages are not sent")

    async def finish(self, body: bytes | None) -> None:
        """The answer, or None for a call that gets none. The stream is over. One that cannot be
        kept goes out all the same if a connection of this process reads.

        Raises:
            StreamLost, StoreError: see ``send``.
        """
        async with self._turn:
            messages = self._posted.take()
            if self.state is WriterState.NEW:
                self.plain_answer = body  # unless it can be kept with what was posted
                if not messages:
                    self._move(WriterMove.FINISH)
                    return
            if body is not None:
                messages.append(body)
            try:
                await self._write(messages, last=True)
                if self.is_live:
                    self._move(WriterMove.FINISH)
            except StreamLost:
                self.readers.disconnect(BROKEN_RETRY_MS)
                raise
            except McpdError as error:
                if self.state is WriterState.NEW:
                    self._move(WriterMove.FINISH)
                    return
                if not (self.is_live and self.readers.is_read and body is not None):
                    self.readers.disconnect(BROKEN_RETRY_MS)
                    raise
                log.warning("an answer goes out without being kept: %s", error.message)
                self._show(messages, last=True)  # a client that breaks off is told it was lost
                self._move(WriterMove.FINISH)
            finally:
                self.give_up()

    def give_up(self) -> None:
        """Write no more; an unfinished stream stays as it is in the log. Does nothing to one that
        is over.
        """
        if self.is_live:
            self._move(WriterMove.LOSE)

    async def _write(self, messages: list[bytes], *, last: bool = False) -> None:
        if self.state is WriterState.NEW and not self.ring.last:
            await self._begin(messages, last=last)
            if not self.is_live:
                raise StreamLost
            return
        if self.state is WriterState.NEW:
            await self._begin([])  # the numbers of a first write that failed are not used again
        if self.state is not WriterState.STREAMING:
            raise StreamLost
        with self._numbers_taken(messages):
            is_ours = await self._keep(self.ring.last + 1, messages, last=last)
        if not is_ours:
            self.give_up()
            raise StreamLost
        self._show(messages, last=last)
        if not last:
            self._wake()

    async def _begin(self, messages: list[bytes], *, last: bool = False) -> None:
        async def begin() -> None:
            unread = not self.readers.is_read
            await self._events.begin(self._call, messages, last=last, unread=unread)

        with self._numbers_taken(messages):
            await retry_while_away(begin)
        self._call = msgspec.structs.replace(self._call, request=b"")  # the log has it now
        self._show(messages, last=last)
        if self.is_live:  # nothing gave it up meanwhile
            self._move(WriterMove.OPEN)

    async def _keep(self, number: int, messages: list[bytes], *, last: bool) -> bool:
        async def append() -> bool:
            return await self._events.append(
                *self.key, number, messages, last=last, unread=not self.readers.is_read
            )

        return await keep(append, self.readers, last=last, write_later=self._write_later)

    @contextmanager
    def _numbers_taken(self, messages: list[bytes]) -> Iterator[None]:
        """Messages whose writing fails are perhaps in the log: no others may have their numbers."""
        try:
            yield
        except BaseException:
            self.ring.last += len(messages)
            raise

    def _show(self, messages: list[bytes], *, last: bool) -> None:
        """Let readers of this process have them; the caller wakes these."""
        for message in messages:
            self.ring.append(self.ring.last + 1, message)
        if last:
            self.ring.finished_at = trio.current_time()
