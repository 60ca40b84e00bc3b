"""Bytes in and out of one connection, as cheaply as its kind allows.

Trio's socket stream tries each call before it waits, checks twice for cancellation, and ends every
write in a turn of the event loop: half of what a small request costs. A plain socket is read and
written without it. Every request still waits for the socket to be readable, which is a checkpoint;
so other tasks have their turn, and cancellation its place.
"""

import os
from typing import Protocol

import trio


class StreamIO(Protocol):
    """What a connection reads from and writes to."""

    async def receive(self, max_bytes: int) -> bytes:
        """Some bytes; b"": the peer has left, or the connection is broken."""

    def send_at_once(self, data: bytes) -> int:
        """Write what goes out without a wait; how many bytes that were.

        Raises:
            BrokenResourceError: the connection is over.
        """

    async def send(self, data: bytes) -> None:
        """Write all of it. No checkpoint if the system takes it at once.

        Raises:
            BrokenResourceError, ClosedResourceError: the connection is over.
        """


def io_of(stream: trio.abc.Stream) -> StreamIO:
    """The cheapest way for this stream."""
    return SocketIO(stream) if isinstance(stream, trio.SocketStream) else TrioIO(stream)


class SocketIO:
    """A plain TCP or Unix socket. Its descriptor is used for as long as its stream is open."""

    __slots__ = ("_descriptor", "_stream")

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._descriptor = stream.socket.fileno  # -1 once it is closed, when another may have it

    async def receive(self, max_bytes: int) -> bytes:
        """See StreamIO."""
        while True:
            try:
                descriptor = self._descriptor()
                await trio.lowlevel.wait_readable(descriptor)
                return os.read(descriptor, max_bytes)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError):
                return b""

    def send_at_once(self, data: bytes) -> int:
        """See StreamIO."""
        try:
            return os.write(self._descriptor(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def send(self, data: bytes) -> None:
        """See StreamIO."""
        sent = self.send_at_once(data)
        if sent < len(data):
            await self._stream.send_all(data[sent:])


class TrioIO:
    """Any other stream: TLS, or the memory streams of tests."""

    __slots__ = ("_stream",)

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def receive(self, max_bytes: int) -> bytes:
        """See StreamIO."""
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    def send_at_once(self, data: bytes) -> int:
        """See StreamIO; nothing is known to go out without a wait."""
        return 0

    async def send(self, data: bytes) -> None:
        """See StreamIO."""
        await self._stream.send_all(data)
