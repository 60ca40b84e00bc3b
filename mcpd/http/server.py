"""Listeners to connections: who may connect, how many, and how all of them end."""

import itertools
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from math import inf

import trio

from mcpd.cancellation import split_cancelled
from mcpd.errors import Unavailable
from mcpd.http import answers, closing
from mcpd.http.addresses import limit_key
from mcpd.http.bounds import LINGER_S
from mcpd.http.connection import Connection
from mcpd.http.forwarded import UNIX_ADDRESS
from mcpd.http.messages import Peer
from mcpd.http.state import ServerState

log = logging.getLogger("mcpd.http")

LAST_ACCEPT_S = 0.05  # for connections that came before the listener closes
RETRY_AFTER_S = 5  # told to a connection that is one too many
Listeners = Sequence[trio.SocketListener]
WrapTls = Callable[[trio.SocketStream], trio.SSLStream[trio.SocketStream]]


class HttpServer:
    """Serve on listeners; each connection is a task of the nursery given to ``serve``."""

    def __init__(self, server: ServerState, *, wrap_tls: WrapTls | None = None) -> None:
        self._server = server
        self._wrap_tls = wrap_tls
        self._numbers = itertools.count(1)
        self._connections: set[Connection] = set()
        self._per_address: Counter[str] = Counter()
        self._last_request = -inf  # of connections that have ended

    @property
    def connection_count(self) -> int:
        """Connections that are being served."""
        return len(self._connections)

    async def serve(
        self,
        listeners: Listeners,
        *,
        handler_nursery: trio.Nursery,
        task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept for ever; connections live in ``handler_nursery``, so they outlast a cancel."""
        # serve_listeners closes what it is given, and ``close_after_waiting`` comes after it.
        ours = [trio.SocketListener(listener.socket.dup()) for listener in listeners]
        await trio.serve_listeners(
            self._handle, ours, handler_nursery=handler_nursery, task_status=task_status
        )

    async def close_after_waiting(
        self, listeners: Listeners, *, handler_nursery: trio.Nursery
    ) -> None:
        """Accept what the kernel has accepted for us, and close: no connected client is reset.

        Late ones get LAST_ACCEPT_S. The last look and the close are one step: a turn of the event
        loop between them, on a busy machine, would be time enough for another connection.
        """
        for listener in listeners:
            with trio.move_on_after(LAST_ACCEPT_S), suppress(OSError):  # out of descriptors, say
                while True:
                    handler_nursery.start_soon(self._handle, await listener.accept())
            for raw in _accept_now(listener.socket):
                handler_nursery.start_soon(self._handle, raw)
            listener.socket.close()

    @property
    def last_request(self) -> float:
        """When the last request or connection came (Trio clock); -inf: none ever did."""
        return max([self._last_request, *(one.began for one in self._connections)])

    def end_keep_alive(self, *, ready: bool) -> None:
        """Let every answer end its connection, so that clients let go of them by themselves.

        Args:
            ready: whether health checks go on to succeed.
        """
        self._server.closes = True
        self._server.ready = ready

    def drain(self) -> None:
        """Let running requests finish; everything else ends now."""
        self._server.draining = self._server.closes = True
        for connection in list(self._connections):
            connection.drain()

    def abort(self) -> None:
        """End every connection now."""
        for connection in list(self._connections):
            connection.abort()

    async def _handle(self, raw: trio.SocketStream) -> None:
        peer = _peer_of(raw, "http" if self._wrap_tls is None else "https")
        if peer is None:
            await trio.aclose_forcefully(raw)  # it left before it was looked at
            return
        refusal = self._one_too_many(peer)
        stream: trio.abc.Stream = raw if self._wrap_tls is None else self._wrap_tls(raw)
        if refusal is not None:
            await self._turn_away(stream, refusal)
            return
        connection = Connection(stream, peer, next(self._numbers), self._server)
        self._connections.add(connection)
        address = limit_key(peer.address)
        self._per_address[address] += 1
        try:
            await connection.run()
        except BaseException as error:  # one connection's fault must not end the others
            cancelled, failure = split_cancelled(error)
            if failure is not None:
                fields = {"connection": connection.id}
                log.error("connection failed", exc_info=failure, extra={"fields": fields})
            if cancelled is not None:
                raise cancelled from None
        finally:
            self._connections.discard(connection)
            self._last_request = max(self._last_request, connection.began)
            self._forget_address(address)

    def _one_too_many(self, peer: Peer) -> Unavailable | None:
        bounds = self._server.bounds
        if len(self._connections) >= bounds.max_connections:
            what = f"This server holds its {bounds.max_connections} connections already."
            setting = "max_connections"
        elif self._of_address(peer) >= bounds.max_connections_per_address:
            what = (
                f"Your address holds its {bounds.max_connections_per_address} connections already."
            )
            setting = "max_connections_per_address"
        else:
            return None
        return Unavailable(
            what,
            fix=f"Reuse connections, try again later, or raise {setting}.",
            headers=((b"retry-after", b"%d" % RETRY_AFTER_S),),
        )

    def _of_address(self, peer: Peer) -> int:
        """How many connections its address has, as far as they are limited."""
        if peer.is_loopback and not self._server.bounds.limit_loopback:
            return 0
        return self._per_address[limit_key(peer.address)]

    async def _turn_away(self, stream: trio.abc.Stream, refusal: Unavailable) -> None:
        """Answer without reading, so that being too many costs next to nothing."""
        data = answers.response_bytes(
            answers.error_response(refusal), close=True, head_only=False, http_10=False
        )
        with trio.move_on_after(LINGER_S):
            try:
                await stream.send_all(data)
                await closing.linger(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
        await trio.aclose_forcefully(stream)

    def _forget_address(self, address: str) -> None:
        self._per_address[address] -= 1
        if self._per_address[address] <= 0:
            del self._per_address[address]


def _peer_of(stream: trio.SocketStream, scheme: str) -> Peer | None:
    if stream.socket.family == socket.AF_UNIX:
        return Peer(UNIX_ADDRESS, is_loopback=True, scheme=scheme)
    try:
        address = ip_address(stream.socket.getpeername()[0].partition("%")[0])
    except OSError:
        return None
    mapped = getattr(address, "ipv4_mapped", None) or address
    return Peer(str(mapped), is_loopback=mapped.is_loopback, scheme=scheme)


def _accept_now(listener: trio.socket.SocketType) -> list[trio.SocketStream]:
    """What waits at this moment, without a checkpoint."""
    found: list[trio.SocketStream] = []
    with socket.fromfd(listener.fileno(), listener.family, listener.type) as plain:
        plain.setblocking(False)
        while True:
            try:
                accepted, _ = plain.accept()
            except OSError:  # no connection waits, or the system has no room
                return found
            accepted.setblocking(False)
            found.append(trio.SocketStream(trio.socket.from_stdlib_socket(accepted)))
