"""The server under soak: started, stopped, killed, and read."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import trio

from benchmarks.client import free_port
from benchmarks.contestants import CALLS_PER_MINUTE, HERE, SERVER_CORE, start_redis
from benchmarks.processes import cpu_s, family, open_descriptors, status_number
from benchmarks.soak.client import Target
from benchmarks.soak.hostile import HEAD_TIMEOUT_S, MAX_BODY_BYTES
from benchmarks.soak.judge import LOST, Judge

START_S = 30.0
STOP_S = 30.0  # more than the drain
DRAIN_S = 5
SESSION_TIMEOUT_S = 120  # so that what is left behind is swept within the run
MAX_LOG_LINES = 100  # of warnings and errors that are kept
BAD_LINES = (b" ERROR ", b" CRITICAL ", b"Traceback", b"Error")


class Server:
    """``mcpd serve`` with a store that outlasts it.

    Args:
        workers: more than one takes Redis, and is not pinned to one core.
    """

    def __init__(self, folder: Path, judge: Judge, *, workers: int, redis: bool) -> None:
        self.folder = folder
        self.port = free_port()
        self.life = 0  # how often it was started
        self.restarts: list[tuple[float, str]] = []
        self.log_lines: list[str] = []
        self._judge = judge
        self._workers = workers
        self._nursery: trio.Nursery | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._store = "sqlite"
        self._stop_redis: Callable[[], None] | None = None
        if redis:
            self._stop_redis, self._store = start_redis(str(folder))

    @property
    def pid(self) -> int:
        """Of the process, or of the supervisor."""
        assert self._process is not None
        return self._process.pid

    def token(self, subject: str) -> str:
        """For one user."""
        made = subprocess.run(
            [sys.executable, "-m", "mcpd", "token", "create", "--sub", subject, "--ttl", "30d",
             "--new-secret", "--state-dir", str(self.folder)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return made.stdout.strip()

    async def start(self, nursery: trio.Nursery) -> None:
        """Until it answers."""
        self._nursery = nursery
        self._process, read = self._spawn()
        nursery.start_soon(self._read_log, trio.lowlevel.FdStream(read))
        health = Target(self.port, "", self._judge).request("GET", "/health")
        with trio.fail_after(START_S):
            while True:
                try:
                    await Target(self.port, "", self._judge).once(health)
                    return
                except LOST:
                    if self._process.poll() is not None:
                        raise SystemExit(f"mcpd ended: {self.log_lines[-5:]}") from None
                    await trio.sleep(0.02)

    def _spawn(self) -> "tuple[subprocess.Popen[bytes], int]":
        """The process, and where its log is read."""
        pinned = ["taskset", "-c", SERVER_CORE] if self._workers == 1 else []
        read, write = os.pipe()
        process = subprocess.Popen(
            [*pinned, sys.executable, "-m", "mcpd", "serve", "--state-dir", str(self.folder),
             "--port", str(self.port), "--store", self._store, "--workers", str(self._workers),
             "--app", f"{HERE / 'peers' / 'soak_app.py'}:app",
             "--app", "mcpd.toolkits.tasks:app", "--drain-timeout-s", str(DRAIN_S),
             "--session-timeout-s", str(SESSION_TIMEOUT_S),
             "--head-timeout-s", str(HEAD_TIMEOUT_S), "--max-body-bytes", str(MAX_BODY_BYTES),
             "--calls-per-minute", str(CALLS_PER_MINUTE)],
            stdout=subprocess.DEVNULL, stderr=write,
        )  # fmt: skip
        os.close(write)
        self.life += 1
        return process, read

    async def restart(self, number: signal.Signals) -> None:
        """End it one way or the other, and start it again."""
        assert self._nursery is not None
        self._judge.interrupted()
        self.restarts.append((trio.current_time(), number.name))
        await self._end(number)
        await self.start(self._nursery)
        self._judge.back()

    async def stop(self) -> None:
        """SIGTERM, for good."""
        self._judge.interrupted()
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        children = family(self.pid)[1:]
        self._process.send_signal(number)
        deadline = time.monotonic() + STOP_S
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                self._judge.violated("stopping", f"still there {STOP_S} s after {number.name}")
                self._process.kill()
            await trio.sleep(0.01)
        expected = -signal.SIGKILL if number == signal.SIGKILL else 0
        if self._process.returncode != expected:
            self._judge.violated("stopping", f"exit code {self._process.returncode}")
        while _any_lives(children):
            if time.monotonic() > deadline:
                self._judge.violated("stopping", f"workers {children} outlived their supervisor")
                return
            await trio.sleep(0.01)

    def close(self) -> None:
        """Whatever happened: nothing is left behind."""
        if self._process is not None and self._process.poll() is None:
            for pid in reversed(family(self.pid)):
                os.kill(pid, signal.SIGKILL)
            self._process.wait()
        if self._stop_redis is not None:
            self._stop_redis()

    async def _read_log(self, stream: trio.lowlevel.FdStream) -> None:
        """Keep what is above information. The access log is read and dropped."""
        rest = b""
        async with stream:
            while piece := await stream.receive_some(256 * 1024):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    bad = any(mark in line for mark in BAD_LINES)
                    if bad and len(self.log_lines) < MAX_LOG_LINES:
                        self.log_lines.append(line.decode(errors="replace"))

    def sample(self) -> dict[str, float]:
        """Memory, descriptors and threads of all processes; the store's size; CPU seconds."""
        pids = family(self.pid)
        return {
            "rss_mib": sum(status_number(pid, "VmRSS") for pid in pids) / 1024,
            "descriptors": sum(open_descriptors(pid) for pid in pids),
            "threads": sum(status_number(pid, "Threads") for pid in pids),
            "store_mib": self._store_bytes() / 1024 / 1024,
            "cpu_s": cpu_s(self.pid),
        }

    def _store_bytes(self) -> int:
        files = sum(path.stat().st_size for path in self.folder.glob("*.sqlite*"))
        if self._stop_redis is None:
            return files
        command = [str(shutil.which("redis-cli")), "-s", str(self.folder / "redis")]
        done = subprocess.run([*command, "info", "memory"], capture_output=True, text=True)
        used = [x for x in done.stdout.splitlines() if x.startswith("used_memory:")]
        return files + int(used[0].partition(":")[2]) if used else files


def _any_lives(pids: list[int]) -> bool:
    return any(Path(f"/proc/{pid}").exists() for pid in pids)
