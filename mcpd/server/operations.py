"""Where operators ask: /metrics on a listener of its own, and /status on a Unix socket in the state
directory, which only the server's own user can open.
"""

import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import msgspec
import trio

from mcpd.config import Config
from mcpd.errors import BadRequest, ConfigError
from mcpd.http.answers import json_response
from mcpd.http.bounds import Bounds
from mcpd.http.guards import LOOPBACK_NAMES, Guard
from mcpd.http.messages import Answer, Request, Response
from mcpd.http.routes import Route, Router
from mcpd.http.server import HttpServer
from mcpd.http.state import ServerState
from mcpd.operations.status import status_of
from mcpd.server.listeners import open_address
from mcpd.server.neighbours import Presence
from mcpd.telemetry.exposition import check_installed, expose
from mcpd.telemetry.report import Report
from mcpd.version import __version__

log = logging.getLogger("mcpd.operations")

MAX_BODY_BYTES = 1024
SCRAPE_EVERY_S = 0.5  # however often it is scraped
MAX_PATH_BYTES = 107  # of a socket
LEVELS = ("debug", "info", "warning", "error")
_NO_STORE = ((b"cache-control", b"no-store"),)

Collect = Callable[[], Awaitable[Report]]
SetLevel = Callable[[str], None]


class Operations:
    """Serves operators for as long as a server runs.

    Args:
        collect: what all its processes tell, as one.
        set_level: of the log, in all of them.
        listeners: where clients connect, as URLs.
        presence: of this server; the socket is beside its record.
    """

    def __init__(
        self,
        config: Config,
        collect: Collect,
        set_level: SetLevel,
        listeners: list[str],
        presence: Presence,
    ) -> None:
        self._presence = presence
        self._config = config
        self._collect = collect
        self._set_level = set_level
        self._listeners = listeners
        self._scraping = trio.Lock()
        self._scraped = (float("-inf"), "", (b"", ""))  # when, for whom, what

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve while the block runs.

        Raises:
            ConfigError: the address for metrics can never be had, or the extra is missing.
            Unavailable: it is in use.
        """
        async with trio.open_nursery() as nursery:
            if self._config.metrics is not None:
                await self._serve_metrics(nursery, self._config.metrics)
            path = await self._serve_status(nursery)
            try:
                yield
            finally:
                if path is not None:
                    path.unlink(missing_ok=True)
                _remove_unix(self._config.metrics)
            nursery.cancel_scope.cancel()

    async def _serve_metrics(self, nursery: trio.Nursery, address: str) -> None:
        check_installed()
        listeners = await open_address("metrics", address, self._config.state_path)
        routes = [Route("/metrics", {"GET": self.metrics})]
        names = frozenset({*LOOPBACK_NAMES, *self._config.allow_host})
        await _serve(nursery, listeners, Router(routes, _guard(names)))
        log.info("metrics are on %s", address)

    async def _serve_status(self, nursery: trio.Nursery) -> Path | None:
        record = self._presence.path
        if record is None:
            log.warning("mcpd status will not find this server: its state directory is not written")
            return None
        path = record.with_name(self._presence.record.socket)
        try:
            listener = _bind(path.parent, path.name)
        except OSError as error:
            log.warning("mcpd status will not reach this server: %s: %s", path, error.strerror)
            return None
        routes = [
            Route("/status", {"GET": self.status}),
            Route("/metrics", {"GET": self.metrics}),
            Route("/log-level", {"POST": self.log_level}),
        ]
        await _serve(nursery, [listener], Router(routes, _guard(LOOPBACK_NAMES)))
        return path

    async def metrics(self, request: Request) -> Answer:
        """What Prometheus scrapes."""
        try:
            check_installed()
        except ConfigError as error:
            raise BadRequest(error.message, fix=error.fix) from error
        accept = request.headers.joined(b"accept")
        async with self._scraping:
            now = trio.current_time()
            if accept != self._scraped[1] or now - self._scraped[0] >= SCRAPE_EVERY_S:
                snapshot = (await self._collect()).snapshot
                told = await trio.to_thread.run_sync(expose, snapshot, accept)
                self._scraped = (now, accept, told)
            body, kind = self._scraped[2]
        return Response(200, body, ((b"content-type", kind.encode("ascii")), *_NO_STORE))

    async def status(self, request: Request) -> Answer:
        """What ``mcpd status`` shows."""
        report = await self._collect()
        status = status_of(report, version=__version__, pid=os.getpid(), listeners=self._listeners)
        return json_response(msgspec.to_builtins(status), headers=_NO_STORE)

    async def log_level(self, request: Request) -> Answer:
        """From here on the log has this level, until a reload or the end."""
        level = (await request.body(MAX_BODY_BYTES)).decode("ascii", "replace").strip()
        if level not in LEVELS:
            raise BadRequest("That is no level.", received=level[:32], fix=f"Send {_EITHER}.")
        self._set_level(level)
        log.info("the log level is %s", level)
        return json_response({"log_level": level}, headers=_NO_STORE)


_BOUNDS = Bounds(max_connections=64, request_timeout_s=30.0)
_EITHER = ", ".join(LEVELS)


def _remove_unix(address: str | None) -> None:
    """Take our own Unix socket away when we stop."""
    if address is not None and address.startswith("unix:"):
        Path(address[5:]).expanduser().unlink(missing_ok=True)


def _guard(names: frozenset[str]) -> Guard:
    return Guard(names, loopback_origins=False, ip_literals=True)


async def _serve(
    nursery: trio.Nursery, listeners: list[trio.SocketListener], endpoint: Router
) -> None:
    """Connections of operators end with the nursery."""
    state = ServerState(endpoint, _BOUNDS)
    nursery.start_soon(state.timers.run)
    http = HttpServer(state)
    await nursery.start(partial(http.serve, listeners, handler_nursery=nursery))
    for listener in listeners:
        listener.socket.close()  # it was duplicated


@contextmanager
def short_path(folder: Path, name: str) -> Iterator[str]:
    """The path of a socket, by its folder's descriptor where it is too long (unix(7))."""
    path = str(folder / name)
    if len(path.encode()) <= MAX_PATH_BYTES:
        yield path
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{opened}/{name}"
    finally:
        os.close(opened)


def _bind(folder: Path, name: str) -> trio.SocketListener:
    """A socket that only this user can open."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(folder, name) as path:
            sock.bind(path)
        (folder / name).chmod(0o600)
        sock.listen()
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))
