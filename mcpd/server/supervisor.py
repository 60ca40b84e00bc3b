"""Several worker processes behind the same listening sockets, kept alive and replaced.

The supervisor opens the sockets and never closes them before the last worker has gone, so
neither a crash nor a restart refuses a connection. It serves no requests itself.
"""

import logging
import signal
from collections.abc import MutableMapping
from functools import partial

import trio

from mcpd.config import Config
from mcpd.errors import EXIT_CONFIG, EXIT_USAGE, ConfigError, Unavailable
from mcpd.server.backends import is_shared
from mcpd.server.child import Child, spawn
from mcpd.server.environment import secrets_of
from mcpd.server.jwt_secrets import find_secrets
from mcpd.server.listeners import addresses, log_addresses, open_listeners, remove_unix
from mcpd.server.neighbours import present, unit_of
from mcpd.server.operations import Operations
from mcpd.server.reload import InForce, ReadConfig, Reload
from mcpd.server.systemd import Notifier
from mcpd.server.workers_reload import WorkersReload
from mcpd.server.workers_report import WorkersReport
from mcpd.telemetry.logs import LogWriter

log = logging.getLogger("mcpd.supervisor")

START_S = 60.0  # for a worker to serve
HANG_S = 30.0  # without a sign of life, until a worker is killed
LOOK_S = 1.0  # between looks at that
STOP_SLACK_S = 5.0  # beyond the drain, until a worker is killed
FIRST_RETRY_S = 0.1
MAX_RETRY_S = 10.0  # also the age at which a worker counts as well


def check_workers(config: Config) -> None:
    """Whether these settings go with several workers.

    Raises:
        ConfigError: sessions would be known to one of them alone.
    """
    if config.workers > 1 and config.handshake and not is_shared(config):
        raise ConfigError(
            f"{config.workers} workers need a store that they share, because up to 2025-11-25"
            f" clients have sessions; {config.store.partition(':')[0]} belongs to one process.",
            fix="Give --store redis://HOST:6379/0, or --workers 1, or --no-handshake to serve"
            " 2026-07-28 alone, which has no sessions.",
        )
    if config.workers > 1 and config.store.startswith("sqlite:"):
        raise ConfigError(
            "A SQLite file belongs to one process.", fix="Leave --store out, or give Redis."
        )


class Supervisor:
    """See above.

    Args:
        command: how this program was called; a worker is called the same.
        reload_config: reads the settings again on SIGHUP.
    """

    def __init__(
        self,
        config: Config,
        environ: MutableMapping[str, str],
        writer: LogWriter,
        command: list[str],
        *,
        reload_config: ReadConfig,
    ) -> None:
        self._config = config
        self._reload_config = reload_config
        self._unit = unit_of(environ)
        self._secret = secrets_of(environ)
        self._environ = environ
        self._writer = writer
        self._command = command
        self._notifier = Notifier(environ)
        self._children: list[Child] = []  # one for each place
        self._all: set[Child] = set()  # those that drain included
        self._turns = [trio.Lock() for _ in range(config.workers)]  # one change of a place at once
        self._sockets: list[trio.socket.SocketType] = []
        self._stops = 0
        self._stopping = trio.Event()
        self._all_gone = trio.Event()
        self._rolling = False
        self._report = WorkersReport(self._all, writer)

    async def run(self) -> None:
        """Keep the workers until told to stop.

        Raises:
            ConfigError: the workers could not start.
            Unavailable: they did not start; a restart may help.
        """
        check_workers(self._config)
        find_secrets(self._config, self._environ, create=True)  # by one, for all
        listeners = await open_listeners(self._config, self._environ)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._writer.run)
                nursery.start_soon(self._notifier.feed_watchdog)
                urls = addresses(listeners, "https" if self._config.tls_certificate else "http")
                state_path = self._config.state_path
                set_level = partial(self._report.set_level, nursery)
                with present(state_path, urls, self._unit, self._environ) as presence:
                    reload = WorkersReload(self._make_reload(), presence, self._notifier)
                    ask = (self._report.collect, set_level)
                    async with Operations(self._config, *ask, urls, presence).serving():
                        await self._run(nursery, listeners, urls, reload)
                nursery.cancel_scope.cancel()
            remove_unix(self._config, listeners)
        finally:
            for child in self._all:
                child.kill()
            for listener in listeners:
                await trio.aclose_forcefully(listener)

    def _make_reload(self) -> Reload:
        """What workers would refuse is refused here, before any of them is told."""
        in_force = InForce.read(self._config, self._environ)
        return Reload(in_force, self._reload_config, self._environ, self._report.reloaded)

    async def _run(
        self,
        upkeep: trio.Nursery,
        listeners: list[trio.SocketListener],
        urls: list[str],
        reload: WorkersReload,
    ) -> None:
        self._sockets = [listener.socket for listener in listeners]
        async with trio.open_nursery() as workers:
            await workers.start(self._receive_signals, workers, reload)
            for place in range(self._config.workers):
                self._children.append(await self._spawn(workers, prints_next_step=place == 0))
            await self._wait_for_start()
            log_addresses(log, urls)
            self._notifier.ready(f"{self._config.workers} workers on {', '.join(urls)}")
            upkeep.start_soon(self._watch_for_hangs)
            async with trio.open_nursery() as places:
                for place in range(self._config.workers):
                    places.start_soon(self._keep, workers, place)
            while self._all:  # those that drain after a roll as well
                self._all_gone = trio.Event()
                await self._all_gone.wait()
            workers.cancel_scope.cancel()
        log.info("stopped")

    async def _spawn(self, workers: trio.Nursery, *, prints_next_step: bool = False) -> Child:
        child = await spawn(
            self._command,
            {name: value for name, value in self._environ.items() if name not in self._secret},
            self._sockets,
            secret=self._secret,
            prints_next_step=prints_next_step,
        )
        self._all.add(child)
        workers.start_soon(self._follow, child)
        self._report.begun(workers, child)
        if self._stops:
            child.stop()
        return child

    async def _follow(self, child: Child) -> None:
        try:
            await child.follow()
        finally:
            self._all.discard(child)
            self._report.ended(child)
            if not self._all:
                self._all_gone.set()

    async def _wait_for_start(self) -> None:
        """The first workers must come up; what keeps them from it is told as one's own."""
        for child in self._children:
            if not await child.wait_ready(START_S) and not self._stops:
                code = child.process.returncode
                if code in (EXIT_CONFIG, EXIT_USAGE):
                    raise ConfigError("The workers could not start; their log lines say why.")
                raise Unavailable(f"A worker did not start within {START_S:g} s (exit {code}).")

    # --- replacing ----------------------------------------------------------------------------

    async def _keep(self, workers: trio.Nursery, place: int) -> None:
        """Put a new worker where one ended, until told to stop."""
        delay_s = FIRST_RETRY_S
        while not self._stops:
            child = self._children[place]
            await child.ended.wait()
            if child.age_s > MAX_RETRY_S:
                delay_s = FIRST_RETRY_S
            if self._is_vacant(place):
                self._report.restarts += 1
                log.error("worker %d ended (%s); a new one in %g s", *child.exit_summary, delay_s)
            while self._is_vacant(place):
                with trio.move_on_after(delay_s):
                    await self._stopping.wait()
                delay_s = min(2 * delay_s, MAX_RETRY_S)
                await self._fill(workers, place)

    def _is_vacant(self, place: int) -> bool:
        return not self._stops and self._children[place].ended.is_set()

    async def _fill(self, workers: trio.Nursery, place: int) -> None:
        async with self._turns[place]:
            if self._is_vacant(place):
                try:
                    self._children[place] = await self._spawn(workers)
                except OSError as error:  # the others serve on
                    log.error("a worker cannot be started: %s", error.strerror)

    async def _roll(self, workers: trio.Nursery) -> None:
        """Replace the workers one by one; each goes when its successor serves."""
        if self._rolling:
            return
        self._rolling = True
        try:
            self._notifier.reloading()
            for place in range(len(self._children)):
                if not await self._replace(workers, place):
                    return
            log.info("all workers are new")
        finally:
            self._rolling = False
            if not self._stops:
                self._notifier.ready("serving")

    async def _replace(self, workers: trio.Nursery, place: int) -> bool:
        async with self._turns[place]:
            if self._stops:
                return False
            try:
                fresh = await self._spawn(workers)
            except OSError as error:
                log.error("a new worker cannot be started, the old ones stay: %s", error.strerror)
                return False
            if not await fresh.wait_ready(START_S):
                if not self._stops:
                    log.error("a new worker does not start: the old ones stay")
                fresh.kill()
                return False
            old, self._children[place] = self._children[place], fresh
        old.retire()
        return True

    async def _watch_for_hangs(self) -> None:
        while True:
            await trio.sleep(LOOK_S)
            for child in list(self._all):
                limit_s = HANG_S if child.is_ready else START_S
                if child.silence_s > limit_s:
                    log.error("worker %d gave no sign of life for %g s", child.pid, limit_s)
                    child.abort()

    # --- signals ------------------------------------------------------------------------------

    async def _receive_signals(
        self, workers: trio.Nursery, reload: WorkersReload, *, task_status: trio.TaskStatus[None]
    ) -> None:
        watched = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
        with trio.open_signal_receiver(*watched) as received:
            task_status.started()
            async for number in received:
                if number == signal.SIGHUP:
                    workers.start_soon(reload.run, list(self._all))
                elif number == signal.SIGUSR2:
                    workers.start_soon(self._roll, workers)
                else:
                    self._stop(workers)

    def _stop(self, workers: trio.Nursery) -> None:
        self._stops += 1
        if self._stops == 1:
            log.info("stopping %d workers", len(self._all))
            self._notifier.stopping()
            limit_s = self._config.lame_duck_s + self._config.drain_timeout_s + STOP_SLACK_S
            workers.start_soon(partial(self._kill_after, limit_s))
            self._stopping.set()
            for child in list(self._all):
                child.stop()
            # The workers have their own. With ours open the kernel would go on to accept for a
            # server that is gone, and reset those connections when this process ends.
            for sock in self._sockets:
                sock.close()
        else:
            self._send_all(signal.SIGTERM)

    async def _kill_after(self, limit_s: float) -> None:
        await trio.sleep(limit_s)
        for child in list(self._all):
            log.error("worker %d did not stop in time", child.pid)
            child.kill()

    def _send_all(self, number: int) -> None:
        for child in list(self._all):
            child.send(number)
