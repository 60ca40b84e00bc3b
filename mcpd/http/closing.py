"""How a connection ends so that the peer reads what it was told."""

import contextlib
import socket
import struct

import trio

from mcpd.http.bounds import BODY_READ_BYTES, LINGER_BYTES, LINGER_S

_LINGER_ZERO = struct.pack("ii", 1, 0)


async def linger(stream: trio.abc.Stream) -> None:
    """Half-close, then read what the peer still sends, within LINGER_S and LINGER_BYTES.

    Closing at once while bytes are unread makes the kernel send a reset, which can destroy the
    answer on its way (RFC 9112, section 9.6). TLS has no half-close that peers wait for.
    """
    if not isinstance(stream, trio.abc.HalfCloseableStream):
        return
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        with trio.move_on_after(LINGER_S):
            await stream.send_eof()
            left = LINGER_BYTES
            while left > 0:
                data = await stream.receive_some(BODY_READ_BYTES)
                if not data:
                    return
                left -= len(data)


def abort(stream: trio.abc.Stream) -> None:
    """Make the coming close a reset, so that the kernel frees what the peer never read."""
    raw = getattr(stream, "transport_stream", stream)
    if isinstance(raw, trio.SocketStream) and raw.socket.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
