"""A plain round-robin TCP proxy: each connection goes to the next server that accepts it.

It also knows which servers owe an answer, so that a test can kill one at a moment when no client
can be left with nothing: a request that was sent and not answered at all is lost with any server.
"""

from dataclasses import dataclass, field

import trio

CONNECT_S = 60.0  # for any server to accept; a start takes a while on a busy machine


@dataclass
class Proxy:
    """``ports``: of the servers."""

    ports: list[int]
    unanswered: dict[int, int] = field(default_factory=dict)  # requests, by server
    avoid: set[int] = field(default_factory=set)  # they die; their kernel still accepts
    dropped: list[tuple[float, int, bytes]] = field(default_factory=list)  # requests without answer
    connections: int = 0
    refused: int = 0
    turned_away: list[float] = field(default_factory=list)  # no server was there for CONNECT_S
    port: int = 0
    _next: int = 0

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, client: trio.SocketStream) -> None:
        self.connections += 1
        found = await self._connect()
        if found is None:
            self.turned_away.append(trio.current_time())
            await trio.aclose_forcefully(client)
            return
        server, owed = found
        async with client, server:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pass_on, client, server, owed.asked)
                    await self._pass_on(server, client, owed.answered)
                    nursery.cancel_scope.cancel()
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                if owed.owes:
                    self.dropped.append((trio.current_time(), owed.port, bytes(owed.request)))
                owed.answered()

    async def _connect(self) -> "tuple[trio.SocketStream, _Owed] | None":
        with trio.move_on_after(CONNECT_S):
            while True:
                for _ in self.ports:
                    self._next = (self._next + 1) % len(self.ports)
                    port = self.ports[self._next]
                    if port in self.avoid:
                        continue
                    owed = _Owed(self, port)
                    try:
                        return await trio.open_tcp_stream("127.0.0.1", port), owed
                    except OSError:
                        self.refused += 1
                        owed.answered()
                await trio.sleep(0.02)
        return None

    async def _pass_on(self, source, target, note) -> None:
        while data := await source.receive_some(65536):
            note(data)
            await target.send_all(data)
        await target.send_eof()

    def owes(self, port: int | None = None) -> bool:
        """Whether a request is unanswered, at this server or at any."""
        return (
            sum(self.unanswered.values()) > 0 if port is None else self.unanswered.get(port, 0) > 0
        )


class _Owed:
    """One connection: it owes an answer from a request's first byte to its answer's first."""

    def __init__(self, proxy: Proxy, port: int) -> None:
        self._proxy = proxy
        self.port = port
        self.owes = True  # from the start: the request is on its way
        self.request = b""
        self._count(1)

    def _count(self, by: int) -> None:
        unanswered = self._proxy.unanswered
        unanswered[self.port] = unanswered.get(self.port, 0) + by

    def asked(self, data: bytes) -> None:
        self.request = data[:200] + data[-200:]
        if not self.owes:
            self.owes = True
            self._count(1)

    def answered(self, data: bytes = b"") -> None:
        if self.owes:
            self.owes = False
            self._count(-1)
