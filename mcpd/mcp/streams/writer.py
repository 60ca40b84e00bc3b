"""The writing end of a call's stream.

A call that sends nothing before its result is answered plainly and leaves no trace in the log.
From its first message on it is kept: the client can come back for the rest, to any process.

A log that is full keeps no client that is connected from its answer: messages go out that are not
kept, and how the call ended is written when there is room again.
"""

import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

import msgspec
import trio

from mcpd.errors import StoreError
from mcpd.mcp.streams.keep import Write, keep
from mcpd.mcp.streams.local_readers import LocalReaders
from mcpd.sessions.retry import retry_while_away
from mcpd.sessions.ring import Ring
from mcpd.sessions.stream_ids import question_id
from mcpd.sessions.streams import Event, EventLog, KeptCall, StreamKey

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


class _Written(msgspec.Struct):
    """What is read of a message that another process wrote."""

    id: Any = None
    method: str = ""
    params: dict[str, Any] = {}


_written = msgspec.json.Decoder(_Written)


def _is_question(message: bytes) -> bool:
    written = _written.decode(message)
    return bool(written.method) and written.id is not None


class CallWriter:
    """One call's messages, numbered and kept.

    Args:
        readers: of this process.
        tell_elsewhere: tells readers in other processes that there is more.
        on_end: called once, when this process writes no more; told whether the stream is left
            unfinished.
        write_later: takes what a full log did not.

    Attributes:
        settled: set when it is known whether there is a stream.
        plain_answer: the answer of a call that sent nothing else; None: it gets none.
        asked: ids of questions that an earlier run of the call asked.
        last_progress: what an earlier run told last.
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
    ) -> None:
        self.key = StreamKey(call.session_id, call.stream_id)
        self.state = WriterState.NEW
        self.settled = trio.Event()
        self.ring = Ring()  # what was written, for readers in this process
        self.plain_answer: bytes | None = None
        self.asked: set[str] = set()
        self.last_progress: float | None = None
        self.readers = readers
        self._events = events
        self._call = call
        self._tell_elsewhere = tell_elsewhere
        self._on_end = on_end
        self._write_later = write_later
        self._lock = trio.Lock()
        self._times: dict[bytes, int] = {}

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
            self._learn(event.data)
        self._move(WriterMove.OPEN)

    def _learn(self, data: bytes) -> None:
        try:
            message = _written.decode(data)
        except msgspec.DecodeError:
            return
        if isinstance(message.id, str) and message.method:
            self.asked.add(message.id)
        if message.method == "notifications/progress":
            progress = message.params.get("progress")
            if isinstance(progress, int | float):
                self.last_progress = max(progress, self.last_progress or progress)

    # --- writing --------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to keep the stream, if that is still to be done. Does nothing to one that is over.

        Raises:
            StoreError: the store stayed away for STORE_AWAY_LIMIT_S, or takes no writes; the
                answer goes out plainly.
        """
        async with self._lock:
            await self._open()

    async def _open(self) -> None:
        if self.state is WriterState.NEW:
            await retry_while_away(lambda: self._events.begin(self._call))
            self._call = msgspec.structs.replace(self._call, request=b"")  # the log has it now
            if self.is_live:  # nothing gave it up meanwhile
                self._move(WriterMove.OPEN)

    async def send(self, message: bytes) -> None:
        """Keep a message and let it go out. While the log is too full to begin a stream, what is
        no question is dropped: the answer does not depend on it.

        Raises:
            StreamLost: it is not ours to send any more.
            StoreError: the store stayed away for STORE_AWAY_LIMIT_S, or takes no writes and it
                is a question.
        """
        async with self._lock:
            try:
                await self._open()
            except StoreError as error:
                if not error.lasting or _is_question(message):
                    raise
                return
            await self._append(message, last=False)

    async def finish(self, body: bytes | None) -> None:
        """The answer, or None for a call that gets none. The stream is over. One that cannot be
        kept goes out all the same if a connection of this process reads.

        Raises:
            StreamLost, StoreError: see ``send``.
        """
        async with self._lock:
            if self.state is WriterState.NEW:
                self.plain_answer = body
                self._move(WriterMove.FINISH)
                return
            try:
                await self._append(body, last=True)
                if self.is_live:
                    self._move(WriterMove.FINISH)
            except StoreError as error:
                if not (self.is_live and self.readers.is_read and body is not None):
                    self.readers.disconnect(BROKEN_RETRY_MS)
                    raise
                log.warning("an answer goes out without being kept: %s", error.message)
                self._finish_here(body)
            except StreamLost:
                self.readers.disconnect(BROKEN_RETRY_MS)
                raise
            finally:
                self.give_up()

    def _finish_here(self, body: bytes) -> None:
        """Let the answer go to the connection that reads; a client whose connection breaks before
        that is told what a lost call is told.
        """
        self.ring.append(self.ring.last + 1, body)
        self.ring.finished_at = trio.current_time()
        self._move(WriterMove.FINISH)

    def give_up(self) -> None:
        """Write no more; an unfinished stream stays as it is in the log. Does nothing to one that
        is over.
        """
        if self.is_live:
            self._move(WriterMove.LOSE)

    async def _append(self, data: bytes | None, *, last: bool) -> None:
        if self.state is not WriterState.STREAMING:
            raise StreamLost
        number = self.ring.last + 1
        try:
            is_ours = await self._keep(number, data, last=last)
        except BaseException:  # perhaps it is in the log: no other message may have its number
            self.ring.last = number
            raise
        if not is_ours:
            self.give_up()
            raise StreamLost
        if data is not None:
            self.ring.append(number, data)
        if last:
            self.ring.finished_at = trio.current_time()
        else:
            self._wake()

    async def _keep(self, number: int, data: bytes | None, *, last: bool) -> bool:
        async def append() -> bool:
            return await self._events.append(
                *self.key, number, data, last=last, unread=not self.readers.is_read
            )

        return await keep(append, self.readers, last=last, write_later=self._write_later)

    def question_id(self, content: bytes) -> str:
        """The id for a question, the same in every run of the call."""
        self._times[content] = times = self._times.get(content, 0) + 1
        return question_id(self.key.stream_id, content, times)
