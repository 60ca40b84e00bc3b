"""The writing end of a call's stream.

A call that sends nothing before its result is answered plainly and leaves no trace in the log.
From its first message on it is kept: the client can come back for the rest, to any process.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio

from mcpd.errors import StoreError
from mcpd.sessions.log import Event, KeptCall, StreamLog, question_id
from mcpd.sessions.ring import Ring

PATIENCE_S = 60.0  # for a log that is away: calls under way wait for it
FIRST_RETRY_S = 0.1
MAX_RETRY_S = 2.0
BROKEN_RETRY_MS = 1000  # for a client whose call could not be kept to the end


class StreamLost(Exception):
    """Another process has the call now, or its session is over; nothing more is sent for it."""


class _Written(msgspec.Struct):
    """What is read of a message that another process wrote."""

    id: Any = None
    method: str = ""
    params: dict[str, Any] = {}


_written = msgspec.json.Decoder(_Written)


class CallStream:
    """One call's messages, numbered and kept.

    Args:
        wake: called after each change.
        is_followed: whether a connection of this process has what is written, and will go on to.
        cut: ends the connection that follows; told when it may come back, in milliseconds.
        close: called when nothing more will be written; told whether the stream is left
            unfinished.
    """

    def __init__(
        self,
        log: StreamLog,
        call: KeptCall,
        *,
        wake: Callable[[], None],
        is_followed: Callable[[], bool],
        cut: Callable[[int], None],
        close: Callable[[bool], None],
    ) -> None:
        self.id = call.stream_id
        self.session_id = call.session_id
        self.ring = Ring()  # what was written, for followers in this process
        self.begun = False
        self.settled = trio.Event()  # begun, or over
        self.plain: bytes | None = None  # the answer of a call that sent nothing else
        self.lost = False
        self.cut = cut
        self.followed_elsewhere = False
        self.asked: set[str] = set()  # by an earlier run of the call
        self.last_progress: float | None = None
        self._log = log
        self._call = call
        self._wake = wake
        self._is_followed = is_followed
        self._close = close
        self._lock = trio.Lock()
        self.over = False  # nothing more is written
        self._times: dict[bytes, int] = {}

    def go_on(self, events: list[Event]) -> None:
        """Take over from another process that wrote these."""
        self.begun = True
        self.settled.set()
        for event in events:
            self.ring.append(event.number, event.data)
            self._learn(event.data)
        self._wake()

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

    async def open(self) -> None:
        """Begin to keep the stream, if that is still to be done.

        Raises:
            StoreError: the log stayed away for PATIENCE_S.
        """
        async with self._lock:
            await self._open()

    async def _open(self) -> None:
        if not self.begun and not self.settled.is_set():
            await patiently(lambda: self._log.begin(self._call))
            self.begun = True
            self.settled.set()

    async def send(self, message: bytes) -> None:
        """Keep a message and let it go out.

        Raises:
            StreamLost: it is not ours to send any more.
            StoreError: the log stayed away for PATIENCE_S.
        """
        async with self._lock:
            await self._open()
            await self._append(message, last=False)

    async def finish(self, body: bytes | None) -> None:
        """The answer, or None for a call that gets none. The stream is over.

        Raises:
            StreamLost, StoreError: see ``send``.
        """
        async with self._lock:
            done = False
            try:
                if self.begun:
                    await self._append(body, last=True)
                else:
                    self.plain = body
                done = True
            except (StreamLost, StoreError):
                self.cut(BROKEN_RETRY_MS)
                raise
            finally:
                self.over = True
                self.lost = self.lost or not done
                self.settled.set()
                self._close(self.begun and not done)

    def give_up(self) -> None:
        """Nothing more is written by this process; an unfinished stream stays as it is in the
        log.
        """
        if self.over:
            return
        self.over = self.lost = True
        self.settled.set()
        self._close(self.begun)
        self._wake()

    async def _append(self, data: bytes | None, *, last: bool) -> None:
        if self.lost:
            raise StreamLost
        number = self.ring.last + 1

        async def append() -> bool:
            return await self._log.append(
                self.session_id, self.id, number, data, last=last, unread=not self._is_followed()
            )

        try:
            kept = await patiently(append)
        except BaseException:  # perhaps it is in the log: no other message may have its number
            self.ring.last = number
            raise
        if not kept:
            self.lost = True
            self._wake()
            raise StreamLost
        if data is not None:
            self.ring.append(number, data)
        if last:
            self.ring.finished_at = trio.current_time()
        self._wake()

    def question_id(self, content: bytes) -> str:
        """The id for a question, the same in every run of the call."""
        self._times[content] = times = self._times.get(content, 0) + 1
        return question_id(self.id, content, times)


async def patiently(write: Callable[[], Awaitable[Any]]) -> Any:
    """Try again while the store is away, for PATIENCE_S.

    Raises:
        StoreError: it stayed away.
    """
    delay_s, waited_s = FIRST_RETRY_S, 0.0
    while True:
        try:
            return await write()
        except StoreError:
            if waited_s >= PATIENCE_S:
                raise
        await trio.sleep(delay_s)
        waited_s += delay_s
        delay_s = min(2 * delay_s, MAX_RETRY_S)
