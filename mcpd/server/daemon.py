"""The daemon: what lives how long, and how it stops.

Upkeep (logs, timers, session sweeps, watchdog) outlives the apps' lifespans, these
outlive the connections, and accepting ends first. Cancellation is the one way to stop.
"""

import gc
import logging
import os
import resource
import signal
from collections.abc import Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from functools import partial

import trio

from mcpd.config import Config
from mcpd.errors import Unavailable
from mcpd.http.server import HttpServer
from mcpd.observer import Observer
from mcpd.server.assembly import Server, build
from mcpd.server.gauges import Gauges
from mcpd.server.listeners import (
    addresses,
    are_local,
    listen_on,
    log_addresses,
    open_listeners,
    remove_unix,
)
from mcpd.server.listening import Listening
from mcpd.server.neighbours import Presence, ServerRecord, present, state_in_use, unit_of
from mcpd.server.operations import Operations
from mcpd.server.reload import InForce, Reload, removed_keys
from mcpd.server.reporting import Reporter
from mcpd.server.reports import ReportSender
from mcpd.server.running import running
from mcpd.server.stopping import Stopping
from mcpd.server.systemd import Notifier
from mcpd.server.tls import Tls
from mcpd.server.watchdog import Watchdog
from mcpd.server.worker import READY, REFUSED, RELOADED, RETIRE, Inheritance
from mcpd.telemetry.logs import LogWriter, set_level

log = logging.getLogger("mcpd.server")

Announce = Callable[[Server, list[str]], None]
ReadConfig = Callable[[], Config]


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
        reload_config: ReadConfig,
        announce: Announce,
        inheritance: Inheritance | None = None,
    ) -> None:
        self._config = config
        self._environ = environ
        self._writer = writer
        self._reload_config = reload_config
        self._announce = announce
        self._inheritance = inheritance
        self._unit = unit_of(environ)
        self._notifier = Notifier(environ)

    async def run(self) -> None:
        """Serve until told to stop.

        Raises:
            ConfigError: it cannot start before a person has edited something.
            Unavailable: it could not start now.
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
        listening = Listening(config, self._writer)
        server = self._build(listening.observer, local=are_local(listeners))
        listening.trace(str(server.catalog.info["name"]), str(server.catalog.info["version"]))
        http = HttpServer(server.state, wrap_tls=tls.wrap if tls else None)
        watchdog = Watchdog(server.catalog.threads, self._writer.flush)
        gauges = Gauges(server, http, listening.meters, lambda: watchdog.lag_s)
        reporter = Reporter(gauges, server.health, self._writer)
        in_force = InForce.read(config, self._environ)
        urls = addresses(listeners, "https" if tls else "http")
        try:
            async with trio.open_nursery() as outer:
                await outer.start(self._writer.run)
                outer.start_soon(self._notifier.feed_watchdog)
                outer.start_soon(watchdog.run)
                upkeep = [server.state.timers.run, server.credentials.run]
                upkeep += listening.upkeep
                async with running(
                    server.backend, server.runtime, config.state_path, *upkeep
                ) as calls:
                    await server.credentials.look_first()
                    with self._presence_on(urls) as presence:
                        reload = self._make_reload(in_force, server, tls, presence)
                        async with self._reporting(outer, reporter, urls, presence):
                            await self._serve(server, http, listeners, urls, calls, reload)
                await listening.close()
                log.info("stopped")
                outer.cancel_scope.cancel()
            if self._inheritance is None:
                remove_unix(config, listeners)
        finally:
            gauges.close()
            server.close()

    def _build(self, observer: Observer, *, local: bool) -> Server:
        try:
            return build(self._config, self._environ, observer, local=local)
        except Unavailable as error:
            raise state_in_use(self._config.state_path, error) from error

    def _presence_on(self, urls: list[str]) -> AbstractContextManager[Presence | None]:
        """A worker's supervisor is present for all of them."""
        if self._inheritance is not None:
            return nullcontext()
        return present(self._config.state_path, urls, self._unit, self._environ)

    def _reporting(
        self,
        nursery: trio.Nursery,
        reporter: Reporter,
        urls: list[str],
        presence: Presence | None,
    ) -> AbstractAsyncContextManager[None]:
        """A worker reports to its supervisor, which operators ask."""
        given = self._inheritance
        if given is None or presence is not None:
            there = presence or Presence(ServerRecord(os.getpid(), urls))
            return Operations(self._config, reporter.report, set_level, urls, there).serving()
        sender = ReportSender(given.reports, reporter.report, set_level)
        nursery.start_soon(sender.run)
        return nullcontext()

    async def _serve(
        self,
        server: Server,
        http: HttpServer,
        listeners: list[trio.SocketListener],
        urls: list[str],
        calls: trio.CancelScope,
        reload: Callable[[], None],
    ) -> None:
        async with trio.open_nursery() as signals:
            async with trio.open_nursery() as connections:
                stopping = Stopping(
                    http,
                    server.runtime.streams,
                    connections.cancel_scope,
                    calls,
                    limit_s=self._config.drain_timeout_s,
                    lame_duck_s=self._config.lame_duck_s,
                )
                await signals.start(self._receive_signals, stopping, reload)
                signals.start_soon(stopping.run)
                with stopping.accepting:
                    async with trio.open_nursery() as accept:
                        await accept.start(
                            partial(http.serve, listeners, handler_nursery=connections)
                        )
                        self._ready(server, urls, signals, stopping)
                await http.close_after_waiting(listeners, handler_nursery=connections)
                await stopping.lame_duck_over.wait()
                http.drain()
                signals.start_soon(stopping.end_streams, server.state.bounds.retry_hint_ms)
            with trio.CancelScope(deadline=connections.cancel_scope.deadline):
                await server.runtime.in_flight.wait_idle()
            signals.cancel_scope.cancel()

    def _ready(
        self, server: Server, urls: list[str], signals: trio.Nursery, stopping: Stopping
    ) -> None:
        gc.freeze()  # what is there now stays: the collector need not look at it again and again
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

    def _begin_to_stop(self, stopping: Stopping, *, others_accept: bool = False) -> None:
        if not stopping.has_begun:
            self._notifier.stopping()
            stopping.begin(others_accept=others_accept)

    # --- signals ------------------------------------------------------------------------------

    async def _receive_signals(
        self,
        stopping: Stopping,
        reload: Callable[[], None],
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        watched = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, RETIRE)
        asked = False  # the end of the supervisor may have begun it without
        with trio.open_signal_receiver(*watched) as received:
            task_status.started()
            async for number in received:
                if number == signal.SIGHUP:
                    reload()
                elif number == signal.SIGUSR2:
                    log.warning("a rolling restart takes --workers 2 or more")
                elif number == RETIRE:
                    if self._inheritance is not None:
                        asked = True
                        self._begin_to_stop(stopping, others_accept=True)
                elif asked:
                    stopping.force()
                else:
                    asked = True
                    self._begin_to_stop(stopping)

    def _make_reload(
        self, in_force: InForce, server: Server, tls: Tls | None, presence: Presence | None
    ) -> Callable[[], None]:
        def apply(old: InForce, fresh: InForce) -> None:
            if tls is not None:
                tls.reload()  # the last step that can fail
            if fresh.secrets is not None:
                server.credentials.use(fresh.config, fresh.secrets)
                server.runtime.sealer.use(fresh.secrets.secrets)
                if removed_keys(old, fresh) or old.config.access != fresh.config.access:
                    # A client whose token is void cannot come back; others may see less now.
                    server.state.end_streams()
            else:
                server.credentials.use_rules(fresh.config)
            set_level(fresh.config.log_level)

        reload = Reload(in_force, self._reload_config, self._environ, apply)

        def run() -> None:
            self._notifier.reloading()
            outcome = reload()
            if self._inheritance is not None:
                self._inheritance.say(RELOADED if outcome.succeeded else REFUSED)
            if presence is not None:
                presence.reloaded(outcome.told, failed=not outcome.succeeded)
            self._notifier.ready("reloaded" if outcome.succeeded else "reload failed")

        return run


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
