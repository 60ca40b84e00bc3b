"""What workers tell their supervisor of what they count, so that one scrape shows the whole.

A worker sends a report every REPORT_EVERY_S, and a last one at its end; the supervisor sends the
level of the log, when an operator changes it. Both go over a socket pair: a length, then JSON.
"""

import logging
import socket
import struct
from collections.abc import Awaitable, Callable

import msgspec
import trio

from mcpd.limits.seldom import Seldom
from mcpd.telemetry.report import Report

log = logging.getLogger("mcpd.operations")

REPORT_EVERY_S = 1.0
SEND_S = 2.0  # for the last report, and for a word to a worker
MAX_BYTES = 8 * 1024 * 1024
_LENGTH = struct.Struct(">I")
_decode = msgspec.json.Decoder(Report).decode


class ReportSender:
    """The end of a worker.

    Args:
        sock: of the pair.
        collect: the report of this process.
        set_level: of its log.
    """

    def __init__(
        self,
        sock: socket.socket,
        collect: Callable[[], Awaitable[Report]],
        set_level: Callable[[str], None],
    ) -> None:
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._collect = collect
        self._set_level = set_level
        self._is_sending = False
        self._complaints = Seldom()

    async def run(self) -> None:
        """Report for ever, and once more at the end. While the supervisor takes nothing, one report
        waits, and no other is made.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            try:
                while True:
                    await self._send()
                    await trio.sleep(REPORT_EVERY_S)
            finally:
                if not self._is_sending:  # nothing that follows half a report could be read
                    with trio.move_on_after(SEND_S, shield=True):
                        await self._send()

    async def _send(self) -> None:
        try:
            data = msgspec.json.encode(await self._collect())
        except Exception:  # whatever cannot be measured: the server goes on
            if self._complaints.is_due(trio.current_time()):
                log.exception("what this process counts cannot be told")
            return
        self._is_sending = True
        try:
            await self._stream.send_all(_LENGTH.pack(len(data)) + data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the supervisor is gone, which is noticed elsewhere
        self._is_sending = False

    async def _listen(self) -> None:
        try:
            while (data := await _receive(self._stream)) is not None:
                self._set_level(data.decode("ascii", "replace"))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


class ReportReader:
    """The end of a supervisor, for one worker.

    Attributes:
        latest: of what it reported; None: nothing so far.
        heard_at: when that came (Trio's clock).
        ended: no more will come.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self.latest: Report | None = None
        self.heard_at = trio.current_time()
        self.ended = trio.Event()

    async def run(self) -> None:
        """Take in reports until the worker is gone."""
        try:
            async with self._stream:
                while (data := await _receive(self._stream)) is not None:
                    self.latest, self.heard_at = _decode(data), trio.current_time()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        except (msgspec.DecodeError, ValueError) as error:
            log.error("what a worker counts cannot be read: %s", error)
        finally:
            self.ended.set()

    async def set_level(self, level: str) -> None:
        """Have it change the level of its log; a worker that is gone has none."""
        data = level.encode("ascii")
        try:
            with trio.move_on_after(SEND_S):
                await self._stream.send_all(_LENGTH.pack(len(data)) + data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            return


async def _receive(stream: trio.SocketStream) -> bytes | None:
    """One message; None: the other end is gone.

    Raises:
        ValueError: it is too large.
    """
    head = await _exactly(stream, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_BYTES:
        raise ValueError("a report is too large")
    return await _exactly(stream, length)


async def _exactly(stream: trio.SocketStream, number: int) -> bytes | None:
    data = bytearray()
    while len(data) < number:
        piece = await stream.receive_some(min(number - len(data), 65536))
        if not piece:
            return None
        data += piece
    return bytes(data)
