"""The writing end of one event stream: head on demand, chunks, heartbeats, a clean end.

An event is written whole or the stream is over: a cut chunk would be the end of the framing.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from mcpd.coalescing import Coalescer
from mcpd.http import sse
from mcpd.http.answers import LAST_CHUNK, chunk
from mcpd.http.timers import Timed, Timers
from mcpd.turn import Turn

log = logging.getLogger("mcpd.http")


class StreamSink(Timed):
    """See messages.EventSink. Writes wait for the socket, so a slow reader slows its stream.

    Args:
        write: writes bytes whatever is cancelled around it; False: they did not all go out.
    """

    __slots__ = (
        "_beat_s", "_closed", "_head", "_http_10", "_nursery", "_posted", "_timers", "_turn",
        "_write", "broken", "opened", "sent_bytes",
    )  # fmt: skip

    def __init__(
        self,
        write: Callable[[bytes], Awaitable[bool]],
        head: bytes,
        timers: Timers,
        nursery: trio.Nursery,
        *,
        heartbeat_s: float,
        http_10: bool,
    ) -> None:
        super().__init__()
        self._write = write
        self._head = head
        self._timers = timers
        self._nursery = nursery
        self._beat_s = heartbeat_s
        self._http_10 = http_10
        self._turn = Turn()
        self._posted = Coalescer(self._put_posted, nursery.start_soon)
        self._closed = False
        self.opened = False
        self.broken = False  # part of an event went out: nothing can follow it
        self.sent_bytes = 0

    async def open(self) -> None:
        """Send the head now."""
        if not self.opened:
            await self._put(b"")

    async def send(self, event: bytes, *, last: bool = False) -> bool:
        """Send encoded events; dropped once the stream is over, which False tells.

        Args:
            last: nothing follows them, and the stream ends in the same write.

        Cancellation: before the events or not at all.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        return await self._put(event, last=last)

    async def post(self, event: bytes) -> None:
        """See messages.EventSink."""
        if self._closed:
            await trio.lowlevel.checkpoint()
        else:
            await self._posted.put(event)

    async def _put_posted(self) -> None:
        try:
            await self._put(b"")
        except Exception:  # it would end the connection
            log.exception("posted events are lost")

    async def finish(self, farewell: bytes) -> None:
        """End the stream, unless it has ended; what it says last, if it is ended by us, tells when
        to come back.
        """
        await self._put(farewell, last=True)

    def close(self) -> None:
        """Nothing goes out any more."""
        self._closed = True
        self._timers.forget(self)

    async def _put(self, event: bytes, *, last: bool = False) -> bool:
        """Write what was posted before, and this."""
        async with self._turn:
            events = b"".join([*self._posted.take(), event])
            if self._closed:
                return False
            data = chunk(events, http_10=self._http_10) if events else b""
            if last:
                self.close()
                data += b"" if self._http_10 else LAST_CHUNK
            if not self.opened:
                self.opened = True
                data = self._head + data
            if data and not await self._write(data):
                self.broken = True
                self.close()
            self.sent_bytes += len(data)
        if not self._closed:
            self._timers.arm(self, trio.current_time() + self._beat_s)
        return not self.broken

    def on_due(self, now: float) -> None:
        """Quiet for a heartbeat's time. A write under way needs no comment beside it."""
        if self._closed:
            return
        if self._turn.is_taken:
            self._timers.arm(self, now + self._beat_s)
        else:
            self._nursery.start_soon(self.send, sse.HEARTBEAT)
