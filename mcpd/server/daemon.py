"""The daemon: what lives how long, and how it stops.

Upkeep (logs, timers, session sweeps, watchdog, signals) outlives the apps' lifespans, these
outlive the connections, and accepting ends first. Cancellation is the one way to stop.
"""

import logging
import os
import resource
import signal
from collections.abc import Callable, MutableMapping
from contextlib import AsyncExitStack
from functools import partial

import trio

from mcpd.config import Config
from mcpd.errors import ConfigError, StoreError
from mcpd.http.server import HttpServer
from mcpd.server.apps import enter_lifespans
from mcpd.server.assembly import House, build, make_verifier
from mcpd.server.keys import find_secrets
from mcpd.server.listeners import (
    addresses,
    are_local,
    listen_on,
    log_addresses,
    open_listeners,
    remove_unix,
)
from mcpd.server.systemd import Notifier
from mcpd.server.tls import Tls
from mcpd.server.worker import READY, Inheritance
from mcpd.telemetry.logs import LogWriter, set_level

log = logging.getLogger("mcpd.server")

LAST_WORDS_S = 1.0  # for clients of running calls to be told to come back, within the drain
FLUSH_AT_END_S = 10.0  # for activity times to reach the store when stopping

Announce = Callable[[House, list[str]], None]
Reload = Callable[[], Config]


class Daemon:
    """One server process.

    Args:
        config: the settings.
        environ: the process's environment; variables meant for us alone are taken out.
        writer: where logs go; its flusher runs here.
        reload_config: reads the settings again on SIGHUP.
        announce: told the house and its URLs once requests are served.
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
        self._stops = 0
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
        config = self._config
        house = build(config, self._environ, self._writer.access, local=are_local(listeners))
        try:
            tls = _tls(config)
            http = HttpServer(house.site, wrap_tls=tls.wrap if tls else None)
            async with trio.open_nursery() as upkeep:
                await upkeep.start(self._writer.run)
                await house.backend.start(upkeep)
                upkeep.start_soon(house.site.timers.run)
                upkeep.start_soon(house.sessions.run_upkeep)
                house.services.start_upkeep(upkeep)
                upkeep.start_soon(self._notifier.feed_watchdog)
                async with AsyncExitStack() as lifespans:
                    await enter_lifespans(lifespans, house.host, config.state_path)
                    await self._serve(house, http, listeners, tls)
                await _leave_store(house)
                upkeep.cancel_scope.cancel()
            if self._inheritance is None:
                remove_unix(config, listeners)
        finally:
            house.backend.store.close()

    async def _serve(
        self,
        house: House,
        http: HttpServer,
        listeners: list[trio.SocketListener],
        tls: Tls | None,
    ) -> None:
        accepting, running = trio.CancelScope(), house.services.running
        urls = addresses(listeners, "https" if tls else "http")
        async with trio.open_nursery() as signals:
            calls = await signals.start(running.run)
            async with trio.open_nursery() as connections:
                stop = partial(self._stop, house, http, accepting, connections, calls)
                await signals.start(self._take_signals, stop, partial(self._reload, house, tls))
                with accepting:
                    async with trio.open_nursery() as accept:
                        await accept.start(
                            partial(http.serve, listeners, handler_nursery=connections)
                        )
                        self._ready(house, urls, signals)
                await http.close_after_waiting(listeners, handler_nursery=connections)
                http.drain()
                signals.start_soon(_end_streams, house, http, self._config.drain_timeout_s)
            with trio.CancelScope(deadline=connections.cancel_scope.deadline):
                await running.wait_idle()
            house.services.streams.abandon()
            signals.cancel_scope.cancel()
        log.info("stopped")

    def _ready(self, house: House, urls: list[str], signals: trio.Nursery) -> None:
        given = self._inheritance
        if given is None:
            log_addresses(log, urls)
            self._notifier.ready(f"listening on {', '.join(urls)}")
        else:
            log.info("worker %d serves", os.getpid())
            given.say(READY)
            signals.start_soon(given.beat)
            signals.start_soon(self._stop_when_orphaned, given)
        self._announce(house, urls)

    async def _stop_when_orphaned(self, given: Inheritance) -> None:
        await given.wait_orphaned()
        log.warning("the supervisor is gone")
        if not self._stops:  # a second one would mean at once
            os.kill(os.getpid(), signal.SIGTERM)

    # --- signals ------------------------------------------------------------------------------

    async def _take_signals(
        self,
        stop: Callable[[int], None],
        reload: Callable[[], None],
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        watched = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
        with trio.open_signal_receiver(*watched) as received:
            task_status.started()
            async for number in received:
                if number == signal.SIGHUP:
                    reload()
                elif number == signal.SIGUSR2:
                    log.warning("a rolling restart takes --workers 2 or more")
                else:
                    self._stops += 1
                    stop(self._stops)

    def _stop(
        self,
        house: House,
        http: HttpServer,
        accepting: trio.CancelScope,
        connections: trio.Nursery,
        calls: trio.CancelScope,
        times: int,
    ) -> None:
        """First: stop accepting and let running requests finish. Again: at once."""
        if times > 1:
            log.warning("stopping at once")
            house.services.streams.abandon()
            http.abort()
            connections.cancel_scope.cancel()
            calls.cancel()
            return
        limit_s = self._config.drain_timeout_s
        log.info("draining: %d connections, at most %g s", http.connection_count, limit_s)
        self._notifier.stopping()
        connections.cancel_scope.deadline = trio.current_time() + limit_s
        accepting.cancel()

    def _reload(self, house: House, tls: Tls | None) -> None:
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
                house.gate.verifier = make_verifier(self._config, source)
                house.sealer.use(source.secrets)
            set_level(config.log_level)
            log.info("reloaded secrets, certificates and log level")
        self._notifier.ready("reloaded")


def _tls(config: Config) -> Tls | None:
    if config.tls_certificate is None or config.tls_key is None:
        return None
    return Tls(config.tls_certificate, config.tls_key)


async def _end_streams(house: House, http: HttpServer, limit_s: float) -> None:
    """Near the end of the drain the connections of running calls end in words; at its end all
    do, writes that are shielded included.
    """
    words_s = min(LAST_WORDS_S, limit_s / 2)
    await trio.sleep(limit_s - words_s)
    house.services.streams.cut_calls(house.site.bounds.retry_hint_ms)
    await trio.sleep(words_s)
    http.abort()


async def _leave_store(house: House) -> None:
    """Write what is behind, and leave unfinished calls to other processes."""
    with trio.move_on_after(FLUSH_AT_END_S, shield=True):
        try:
            await house.backend.log.release()
        except StoreError as error:  # other processes notice by themselves, a little later
            log.info("the store was not told that this process ends: %s", error.message)
        try:
            await house.backend.store.flush()
        except StoreError as error:
            log.error("activity of the last seconds is lost: %s", error.message)


def raise_file_limit() -> None:
    """Use as many descriptors as the system lets us; each connection takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # a sandbox may forbid it
            log.debug("the limit of %d open files stays: %s", soft, error)
