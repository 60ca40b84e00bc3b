"""How a server stops: first in order, within a bound, and when it is told again at once."""

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
        limit_s: for running requests to finish.

    Attributes:
        accepting: the scope in which connections are accepted.
    """

    http: HttpServer
    streams: StreamHub
    connections: trio.CancelScope
    calls: trio.CancelScope
    limit_s: float
    accepting: trio.CancelScope = field(default_factory=trio.CancelScope)
    has_begun: bool = False

    def begin(self) -> None:
        """Stop accepting and let running requests finish, for at most ``limit_s``."""
        self.has_begun = True
        count = self.http.connection_count
        log.info("draining: %d connections, at most %g s", count, self.limit_s)
        self.connections.deadline = trio.current_time() + self.limit_s
        self.accepting.cancel()

    def force(self) -> None:
        """End everything now."""
        log.warning("stopping at once")
        self.streams.abandon()
        self.http.abort()
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
