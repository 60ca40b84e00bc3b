"""How a server stops: first in order, within bounds, and when it is told again at once.

A proxy keeps connections open and sends a request on one whenever it likes, so closing an idle one
may meet a request that is under way. Hence the lame-duck phase: the server is not ready
(``/health``), still accepts, and every answer ends its connection. The proxy lets go of the
connections by itself, and what is closed after that is not in use.
"""

import logging
from dataclasses import dataclass, field

import trio

from mcpd.http.server import HttpServer
from mcpd.mcp.streams.hub import StreamHub

log = logging.getLogger("mcpd.server")

LAST_WORDS_S = 1.0  # for clients of running calls to be told to come back, within the drain


@dataclass(slots=True)
class Stopping:
    """The end of one server.

    Args:
        connections: the scope of those that are served.
        calls: the scope of the calls that outlive their connections.
        limit_s: for running requests to finish, after the lame-duck phase.
        lame_duck_s: how long that is; it is over as soon as no request came for as long.

    Attributes:
        accepting: the scope in which connections are accepted.
        lame_duck_over: from here on what is idle is closed.
    """

    http: HttpServer
    streams: StreamHub
    connections: trio.CancelScope
    calls: trio.CancelScope
    limit_s: float
    lame_duck_s: float
    accepting: trio.CancelScope = field(default_factory=trio.CancelScope)
    lame_duck_over: trio.Event = field(default_factory=trio.Event)
    _begun: trio.Event = field(default_factory=trio.Event)

    @property
    def has_begun(self) -> bool:
        """Whether it was told to stop."""
        return self._begun.is_set()

    def begin(self, *, others_accept: bool = False) -> None:
        """Go through the phases: lame duck, then drain.

        Args:
            others_accept: other processes serve the same listeners and go on, so this one neither
                accepts any more nor says that it is not ready, which would be taken for theirs.
        """
        log.info("stopping: %d connections", self.http.connection_count)
        self.http.end_keep_alive(ready=others_accept)
        if others_accept:
            self.accepting.cancel()
        self._begun.set()

    async def run(self) -> None:
        """Wait for ``begin``, and give clients the time that they need."""
        await self._begun.wait()
        await self._outlast_traffic()
        count = self.http.connection_count
        log.info("draining: %d connections, at most %g s", count, self.limit_s)
        self.connections.deadline = trio.current_time() + self.limit_s
        self.accepting.cancel()
        self.lame_duck_over.set()

    async def _outlast_traffic(self) -> None:
        """The lame-duck phase; a server without traffic does not wait."""
        end = trio.current_time() + self.lame_duck_s
        while True:
            until = min(end, self.http.last_request + self.lame_duck_s)
            if until <= trio.current_time():
                return
            await trio.sleep_until(until)

    def force(self) -> None:
        """End everything now."""
        log.warning("stopping at once")
        self.streams.abandon()
        self.http.abort()
        self.accepting.cancel()
        self.lame_duck_over.set()
        self.connections.cancel()
        self.calls.cancel()

    async def end_streams(self, retry_ms: int) -> None:
        """Near the end of the drain the connections of running calls end with an event that tells
        when to come back; at its end all connections end, shielded writes included.

        Args:
            retry_ms: when the clients of those calls may come back.
        """
        words_s = min(LAST_WORDS_S, self.limit_s / 2)
        await trio.sleep(self.limit_s - words_s)
        self.streams.disconnect_calls(retry_ms)
        await trio.sleep(words_s)
        self.http.abort()
