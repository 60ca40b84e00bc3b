"""What listens at a place where no conversation came about: told by what it says to PING.

Nothing secret is sent.
"""

import ssl

import trio

from mcpd.sessions.redis.address import Address, Place
from mcpd.sessions.redis.failures import (
    NOT_REDIS,
    PLAIN_PORT,
    SILENT,
    TLS_PORT,
    UNREACHABLE,
    Failure,
    of_text,
)

PROBE_S = 1.0  # for each of two questions; only after a connection failed
ALERT = b"\x15\x03"  # how a TLS alert begins (RFC 8446, section 5.1)


async def explain(place: Place, address: Address) -> Failure:
    """Why a connection that was made said nothing that could be read."""
    try:
        with trio.fail_after(PROBE_S):
            said = await _say_ping(place)
    except OSError:
        return UNREACHABLE
    except (trio.BrokenResourceError, trio.TooSlowError):
        said = b""
    if said[:1] in (b"+", b"-"):
        if address.tls is not None:
            return PLAIN_PORT
        return of_text(said.decode("utf-8", "replace")) or UNREACHABLE
    if said.startswith(ALERT) or (not said and place.port and await _speaks_tls(place)):
        return TLS_PORT if address.tls is None else UNREACHABLE
    return NOT_REDIS if said else SILENT


async def _say_ping(place: Place) -> bytes:
    stream = await _open(place)
    async with stream:
        await stream.send_all(b"PING\r\n")
        return bytes(await stream.receive_some(256))


async def _open(place: Place) -> trio.SocketStream:
    if not place.port:
        return await trio.open_unix_socket(place.host)
    return await trio.open_tcp_stream(place.host, place.port)


async def _speaks_tls(place: Place) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only whether it does
    try:
        with trio.fail_after(PROBE_S):
            stream = trio.SSLStream(await _open(place), context)
            try:
                await stream.do_handshake()
            finally:
                await trio.aclose_forcefully(stream)
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error)
    except (OSError, trio.BrokenResourceError, trio.TooSlowError):
        return False
    return True
