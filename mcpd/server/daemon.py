"""The daemon: what lives how long, and how it stops.

Upkeep (logs, timers, session sweeps, watchdog) outlives the apps' lifespans, these
outlive the connections, and accepting ends first. Cancellation is the one way to stop.
"""

import logging
import os
import resource
import signal
from collections.abc import Callable, MutableMapping
from functools import partial

import trio

from mcpd.config import Config
from mcpd.errors import ConfigError
from mcpd.http.server import HttpServer
from mcpd.observer import Observer, RequestServed
from mcpd.server.assembly import Server, build, credential_kinds
from mcpd.server.jwt_secrets import find_secrets
from mcpd.server.listeners import (
    addresses,
    are_local,
    listen_on,
    log_addresses,
    open_listeners,
    remove_unix,
)
from mcpd.server.running import running
from mcpd.server.stopping import Stopping
from mcpd.server.systemd import Notifier
from mcpd.server.tls import Tls
from mcpd.server.worker import READY, Inheritance
from mcpd.telemetry.logs import LogWriter, set_level

log = logging.getLogger("mcpd.server")

Announce = Callable[[Server, list[str]], None]
Reload = Callable[[], Config]


class Daemon:
    """One server process.

    Args:
        config: the settings.
        environ: the process's environment; variables meant for us alone are taken out.
        writer: where logs go; its flusher runs here.
        reload_config: reads the settings again on SIGHUP.
        announce: told the server and its URLs once requests are served.
        inheritance: what a supervisor gave to this process, if it has one.
    """

    def __init__(
        self,
        config: Config,
        environ: MutableMapping[str, str],
        writer: LogWriter,
        *,
        reload_config: Reload,
        announce: Announce,
        inheritance: Inheritance | None = None,
    ) -> None:
        self._config = config
        self._environ = environ
        self._writer = writer
        self._reload_config = reload_config
        self._announce = announce
        self._inheritance = inheritance
        self._notifier = Notifier(environ)
        self._needs_secrets = config.auth != "none"

    async def run(self) -> None:
        """Serve until told to stop.

        Raises:
            ConfigError: it could not start.
        """
        given = self._inheritance
        if given is None:
            listeners = await open_listeners(self._config, self._environ)
        else:
            listeners = listen_on(given.sockets)
        try:
            await self._run(listeners)
        finally:
            for listener in listeners:
                await trio.aclose_forcefully(listener)

    async def _run(self, listeners: list[trio.SocketListener]) -> None:
        config, tls = self._config, _tls(self._config)
        observer = Observer()
        if config.access_log:
            observer.listen(RequestServed, self._writer.access)
        server = build(config, self._environ, observer, local=are_local(listeners))
        try:
            async with trio.open_nursery() as outer:
                await outer.start(self._writer.run)
                outer.start_soon(self._notifier.feed_watchdog)
                async with running(
                    server.backend, server.runtime, config.state_path, server.state.timers.run
                ) as calls:
                    await self._serve(server, listeners, tls, calls)
                log.info("stopped")
                outer.cancel_scope.cancel()
            if self._inheritance is None:
                remove_unix(config, listeners)
        finally:
            server.backend.store.close()

    async def _serve(
        self,
        server: Server,
        listeners: list[trio.SocketListener],
        tls: Tls | None,
        calls: trio.CancelScope,
    ) -> None:
        http = HttpServer(server.state, wrap_tls=tls.wrap if tls else None)
        urls = addresses(listeners, "https" if tls else "http")
        async with trio.open_nursery() as signals:
            async with trio.open_nursery() as connections:
                stopping = Stopping(
                    http,
                    server.runtime.streams,
                    connections.cancel_scope,
                    calls,
                    self._config.drain_timeout_s,
                )
                reload = partial(self._reload, server, tls)
                await signals.start(self._receive_signals, stopping, reload)
                with stopping.accepting:
                    async with trio.open_nursery() as accept:
                        await accept.start(
                            partial(http.serve, listeners, handler_nursery=connections)
                        )
                        self._ready(server, urls, signals, stopping)
                await http.close_after_waiting(listeners, handler_nursery=connections)
                http.drain()
                signals.start_soon(stopping.end_streams, server.state.bounds.retry_hint_ms)
            with trio.CancelScope(deadline=connections.cancel_scope.deadline):
                await server.runtime.in_flight.wait_idle()
            signals.cancel_scope.cancel()

    def _ready(
        self, server: Server, urls: list[str], signals: trio.Nursery, stopping: Stopping
    ) -> None:
        given = self._inheritance
        if given is None:
            log_addresses(log, urls)
            self._notifier.ready(f"listening on {', '.join(urls)}")
        else:
            log.info("worker %d serves", os.getpid())
            given.say(READY)
            signals.start_soon(given.beat)
            signals.start_soon(self._stop_when_orphaned, given, stopping)
        self._announce(server, urls)

    async def _stop_when_orphaned(self, given: Inheritance, stopping: Stopping) -> None:
        await given.wait_orphaned()
        log.warning("the supervisor is gone")
        self._begin_to_stop(stopping)

    def _begin_to_stop(self, stopping: Stopping) -> None:
        if not stopping.has_begun:
            self._notifier.stopping()
            stopping.begin()

    # --- signals ------------------------------------------------------------------------------

    async def _receive_signals(
        self,
        stopping: Stopping,
        reload: Callable[[], None],
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        watched = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
        asked = False  # the end of the supervisor may have begun it without
        with trio.open_signal_receiver(*watched) as received:
            task_status.started()
            async for number in received:
                if number == signal.SIGHUP:
                    reload()
                elif number == signal.SIGUSR2:
                    log.warning("a rolling restart takes --workers 2 or more")
                elif asked:
                    stopping.force()
                else:
                    asked = True
                    self._begin_to_stop(stopping)

    def _reload(self, server: Server, tls: Tls | None) -> None:
        """Secrets, certificates and log level; what cannot be read stays as it was."""
        self._notifier.reloading()
        try:
            config = self._reload_config()
            source = (
                find_secrets(config, self._environ, create=False) if self._needs_secrets else None
            )
            if tls is not None:
                tls.reload()  # the last step that can fail
        except ConfigError as error:
            log.error("reload failed, the old settings stay: %s %s", error.message, error.fix)
        else:
            if source is not None:
                server.authenticator.use(credential_kinds(self._config, source))
                server.runtime.sealer.use(source.secrets)
            set_level(config.log_level)
            log.info("reloaded secrets, certificates and log level")
        self._notifier.ready("reloaded")


def _tls(config: Config) -> Tls | None:
    if config.tls_certificate is None or config.tls_key is None:
        return None
    return Tls(config.tls_certificate, config.tls_key)


def raise_file_limit() -> None:
    """Use as many descriptors as the system lets us; each connection takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # a sandbox may forbid it
            log.debug("the limit of %d open files stays: %s", soft, error)
