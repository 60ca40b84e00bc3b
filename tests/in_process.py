"""A whole server without sockets: built from given settings, served over memory streams."""

import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
import trio.testing

from mcpd.app.app import App
from mcpd.auth.tokens import create_token
from mcpd.config import Config
from mcpd.events import CallServed, RequestServed
from mcpd.http import messages
from mcpd.http.connection import Connection
from mcpd.observer import Observer
from mcpd.server import assembly
from mcpd.server.jwt_secrets import find_secrets
from mcpd.server.running import running
from mcpd.telemetry.call_entry import keeper_of
from mcpd.telemetry.call_log import CallLog
from mcpd.telemetry.metering import Metering
from mcpd.telemetry.meters import Meters
from tests.peer import Peer, Reply

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
BOTH = ("accept", "application/json, text/event-stream")


@dataclass
class Serving:
    """A server that serves, and who connects to it."""

    server: assembly.Server
    nursery: trio.Nursery
    config: Config
    log: list[tuple[str, int]]

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)
        self.connections: list[Connection] = []

    def connect(self, *, address: str = "127.0.0.1", token: str | None = None) -> Peer:
        ours, theirs = trio.testing.memory_stream_pair()
        peer = messages.Peer(address, is_loopback=address.startswith("127."))
        connection = Connection(theirs, peer, next(self._ids), self.server.state)
        self.connections.append(connection)
        self.nursery.start_soon(connection.run)
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return Peer(ours, headers=headers)

    def token(self, sub: str = "alice", **changes: Any) -> str:
        options: dict[str, Any] = {
            "subject": sub,
            "scopes": ("execute:mcp",),
            "token_type": "access",
            "now": int(time.time()),
            "ttl_s": 3600,
        }
        secret = find_secrets(self.config, {}, create=True).secrets[0]
        return create_token(secret, **{**options, **changes})

    def user(self, sub: str = "alice") -> Peer:
        return self.connect(token=self.token(sub))


@asynccontextmanager
async def serving(
    tmp_path: Path, apps: list[App] | None = None, **settings: Any
) -> AsyncIterator[Serving]:
    """Serve until the block ends; every connection is then cut."""
    config = Config(**{"state_dir": tmp_path, "store": "memory", **settings})
    log: list[tuple[str, int]] = []
    observer = Observer()
    Metering(Meters()).listen(observer)  # as in every real server
    call_log = CallLog(None, kept_of=keeper_of("redacted", ()))
    observer.listen(CallServed, call_log.call)
    observer.listen(RequestServed, call_log.request)
    observer.listen(RequestServed, lambda served: log.append((served.path, served.status)))
    server = assembly.build(config, {}, observer, local=True, providers=apps)
    upkeep = (server.state.timers.run, server.credentials.run)
    try:
        async with (
            running(server.backend, server.runtime, tmp_path, *upkeep),
            trio.open_nursery() as nursery,
        ):
            if config.store != "memory":
                await server.credentials.look_first()
            yield Serving(server, nursery, config, log)
            nursery.cancel_scope.cancel()
    finally:
        server.close()  # now that nothing runs in its thread


class HandshakeClient:
    """A client of the handshake era."""

    def __init__(self, peer: Peer, version: str = "2025-11-25") -> None:
        self.peer = peer
        self.version = version
        self.id = ""
        self.next_id = 0

    async def open(self, *, headers: list[tuple[str, str]] | None = None) -> Any:
        params = {
            "protocolVersion": self.version,
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        }
        reply = await self.peer.request(
            "POST",
            "/mcp/",
            json={"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params},
            headers=[BOTH, *(headers or [])],
        )
        assert reply.status == 200, reply
        self.id = reply.headers["mcp-session-id"]
        self.version = reply.json()["result"]["protocolVersion"]
        done = await self.notify("notifications/initialized")
        assert done.status == 202
        return reply.json()["result"]

    def beside(self, peer: Peer) -> "HandshakeClient":
        """The same session on another connection."""
        other = HandshakeClient(peer, self.version)
        other.id, other.next_id = self.id, 1000
        return other

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [BOTH, ("mcp-session-id", self.id), ("mcp-protocol-version", self.version)]

    async def notify(self, method: str, params: Any = None) -> Reply:
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        return await self.peer.request("POST", "/mcp/", json=message, headers=self.headers)

    async def call(self, method: str, params: Any = None) -> Reply:
        self.next_id += 1
        message = {"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params or {}}
        return await self.peer.request("POST", "/mcp/", json=message, headers=self.headers)


def modern_headers(method: str, name: str | None = None) -> list[tuple[str, str]]:
    headers = [BOTH, ("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)]
    return headers if name is None else [*headers, ("mcp-name", name)]


async def modern(
    peer: Peer, method: str, params: dict[str, Any] | None = None, *, meta: Any = None
) -> Reply:
    params = {**(params or {}), "_meta": {**META, **(meta or {})}}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    name = params.get("name", params.get("uri"))
    return await peer.request("POST", "/mcp/", json=message, headers=modern_headers(method, name))
