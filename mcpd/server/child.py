"""One worker process, as its supervisor sees it."""

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import trio

from mcpd.server.environment import seal
from mcpd.server.reports import ReportReader
from mcpd.server.worker import READY, REFUSED, RELOADED, RETIRE, VARIABLE, to_environ

LAST_REPORT_S = 1.0  # to read what a process has sent before its end
END_S = 5.0  # for a killed process to be gone


class Child:
    """A process with its lifeline."""

    def __init__(
        self, process: trio.Process, lifeline: trio.SocketStream, reports: ReportReader
    ) -> None:
        self.reports = reports
        self.process = process
        self.ended = trio.Event()
        self.is_ready = False
        self._aborted = False
        self.told_to_stop = False
        self.reloads = 0  # how often it answered to SIGHUP
        self.refused_reload = False  # the last time
        self.answered = trio.Event()  # replaced each time
        self._lifeline = lifeline
        self._settled = trio.Event()  # ready or ended
        self._born = self._heard = trio.current_time()
        self._died: float | None = None

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    @property
    def age_s(self) -> float:
        """How long it has been there, or was."""
        return (self._died or trio.current_time()) - self._born

    @property
    def silence_s(self) -> float:
        """How long nothing was heard of it."""
        return trio.current_time() - self._heard

    @property
    def exit_summary(self) -> tuple[int, str]:
        """Which process it was and how it ended."""
        code = self.process.returncode or 0
        return self.pid, f"signal {-code}" if code < 0 else f"exit {code}"

    async def follow(self) -> None:
        """Listen to it until it ends.

        Cancellation: the process is killed.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                nursery.start_soon(self.reports.run)
                await self.process.wait()
                await self._take_last_report()
                nursery.cancel_scope.cancel()
        finally:
            self.kill()
            with trio.move_on_after(END_S, shield=True):
                await self.process.wait()
            await trio.aclose_forcefully(self._lifeline)
            self._died = trio.current_time()
            self.ended.set()
            self.answered.set()
            self._settled.set()

    async def _take_last_report(self) -> None:
        """It was sent before the process ended; the other end is closed, so this ends at once."""
        with trio.move_on_after(LAST_REPORT_S):
            await self.reports.ended.wait()

    async def _listen(self) -> None:
        try:
            while data := await self._lifeline.receive_some(64):
                self._heard = trio.current_time()
                if READY in data:
                    self.is_ready = True
                    self._settled.set()
                if RELOADED in data or REFUSED in data:
                    self._note_reload(data)
        except trio.BrokenResourceError:
            return

    def _note_reload(self, data: bytes) -> None:
        self.reloads += data.count(RELOADED) + data.count(REFUSED)
        self.refused_reload = data.rfind(REFUSED) > data.rfind(RELOADED)
        self.answered.set()
        self.answered = trio.Event()

    async def reload(self) -> bool:
        """Have it read its settings again; False: it refused them. Its end counts as an answer,
        since its successor reads them anyway.
        """
        before = self.reloads
        self.send(signal.SIGHUP)
        while self.reloads == before and not self.ended.is_set():
            await self.answered.wait()
        return self.ended.is_set() or not self.refused_reload

    async def wait_ready(self, limit_s: float) -> bool:
        """Whether it serves, within a time; False: it ended, or takes longer."""
        with trio.move_on_after(limit_s):
            await self._settled.wait()
        return self.is_ready and not self.ended.is_set()

    def send(self, number: int) -> None:
        """Send a signal, if the process is there."""
        if self.process.returncode is None:
            self.process.send_signal(number)

    def stop(self) -> None:
        """Tell it to drain, once: a second time would mean at once."""
        if not self.told_to_stop:
            self.told_to_stop = True
            self.send(signal.SIGTERM)

    def retire(self) -> None:
        """Tell it to drain while others go on accepting in its place."""
        if not self.told_to_stop:
            self.told_to_stop = True
            self.send(RETIRE)

    def abort(self) -> None:
        """End one that hangs: its stacks go to its log; what does not heed that is killed."""
        if not self._aborted:
            self._aborted = True
            self.send(signal.SIGABRT)
        else:
            self.kill()

    def kill(self) -> None:
        """End it now."""
        if self.process.returncode is None:
            self.process.kill()


async def spawn(
    command: Sequence[str],
    environ: Mapping[str, str],
    sockets: Sequence[trio.socket.SocketType],
    *,
    secret: Mapping[str, str],
    prints_next_step: bool,
) -> Child:
    """Start a worker that serves these sockets.

    It has a session of its own: Ctrl-C in a terminal reaches the supervisor alone.

    Args:
        secret: variables that go to it in memory, not in its environment.

    Raises:
        OSError: the system has no room for another process, or the program is not there.
    """
    sealed = seal(secret)
    with ExitStack() as given, ExitStack() as kept:
        given.callback(os.close, sealed)
        ours, theirs = _pair(given, kept)
        our_reports, their_reports = _pair(given, kept)
        numbers = [sock.fileno() for sock in sockets]
        inherited = to_environ(
            numbers,
            theirs.fileno(),
            their_reports.fileno(),
            sealed,
            prints_next_step=prints_next_step,
        )
        process = await trio.lowlevel.open_process(
            list(command),
            stdin=subprocess.DEVNULL,
            env={**environ, VARIABLE: inherited},
            pass_fds=(*numbers, theirs.fileno(), their_reports.fileno(), sealed),
            start_new_session=True,
        )
        kept.pop_all()
    ours.setblocking(False)
    lifeline = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    return Child(process, lifeline, ReportReader(our_reports))


def _pair(given: ExitStack, kept: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Connected sockets: ours, closed if there is no process, and what the process is given."""
    ours, theirs = socket.socketpair()
    kept.callback(ours.close)
    given.callback(theirs.close)
    return ours, theirs
