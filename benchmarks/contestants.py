"""Who is measured, and how each is started."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmarks.processes import cpu_s, status_number

HERE = Path(__file__).parent
VENVS = HERE.parent / ".clients"
SERVER_CORE = "0"
CALLS_PER_MINUTE = 100_000_000  # the limit stays on, and is never met
STREAMS_PER_USER = 2000  # one user stands for many
MAX_STREAMS = 20 * STREAMS_PER_USER  # one user gets a part of what is free
FLOORS = ("Trio floor", "h11 floor")
NAMES = (*FLOORS, "mcpd", "Python SDK", "FastMCP")


@dataclass(frozen=True, slots=True)
class Setup:
    """What a scenario asks of its servers.

    Attributes:
        app: ``app`` or ``many`` (200 tools).
        streams: the SDKs answer calls with event streams; mcpd does where there is one to send.
        store: of mcpd: memory, sqlite or redis.
    """

    app: str = "app"
    streams: bool = False
    store: str = "sqlite"


@dataclass
class Contestant:
    """One server."""

    name: str
    command: list[str]
    path: str = "/mcp"
    token: str = ""
    environ: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    cores: str = SERVER_CORE
    at_end: Callable[[], None] | None = None

    @property
    def is_floor(self) -> bool:
        """Whether it only sends canned bytes."""
        return self.name in FLOORS

    def start(self, port: int) -> None:
        """Start it on its cores; does not wait."""
        self.port = port
        pinned = ["taskset", "-c", self.cores, *self.command]
        self.process = subprocess.Popen(
            [part.replace("PORT", str(port)) for part in pinned],
            env={**os.environ, **self.environ},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        """Stop it and wait."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.at_end is not None:
            self.at_end()
            self.at_end = None

    def terminate(self) -> None:
        """Let it stop by itself, with its children."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    @property
    def resident_kib(self) -> int:
        """Resident memory of the process."""
        assert self.process is not None
        return status_number(self.process.pid, "VmRSS")

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the process and its children so far."""
        assert self.process is not None
        return cpu_s(self.process.pid)


def contestant(name: str, setup: Setup, canned: Path | None) -> Contestant:
    """A server, not started. mcpd has authentication and access log on; the others do not.

    Args:
        canned: what a floor sends (see peers/floor.py).
    """
    if name in FLOORS:
        assert canned is not None
        script = "trio_floor.py" if name == "Trio floor" else "floor.py"
        # it is asked with what mcpd is asked with, token and all
        command = [sys.executable, str(HERE / "peers" / script), "PORT", str(canned)]
        return Contestant(name, command, path="/mcp/", token=_state()[1])
    if name == "mcpd":
        return _mcpd(setup)
    venv, script = _VENVS[name]
    python = VENVS / venv / "bin" / "python"
    answers = "sse" if setup.streams else "json"
    which = "many" if setup.app == "many" else "one"
    return Contestant(name, [str(python), str(HERE / "peers" / script), "PORT", answers, which])


_VENVS = {"Python SDK": ("bench-mcp", "sdk.py"), "FastMCP": ("bench-fastmcp", "fastmcp_server.py")}


def is_installed(name: str) -> bool:
    """Whether benchmarks/install was run for it."""
    return name not in _VENVS or (VENVS / _VENVS[name][0] / "bin" / "python").exists()


@cache
def _temporary() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="mcpd-bench-")


def workspace() -> str:
    """A folder for everything that a run writes; it goes when this process ends."""
    return _temporary().name


@cache
def _state() -> tuple[str, str]:
    """A state directory with a secret, and a token."""
    folder = tempfile.mkdtemp(dir=workspace())
    made = subprocess.run(
        [sys.executable, "-m", "mcpd", "token", "create", "--sub", "bench", "--new-secret",
         "--state-dir", folder],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return folder, made.stdout.strip()


def _mcpd(setup: Setup) -> Contestant:
    """With fresh databases: what a run leaves must not slow the next."""
    secret, token = _state()
    folder = tempfile.mkdtemp(dir=workspace())
    for path in Path(secret).iterdir():
        if path.is_file() and "sqlite" not in path.name:
            shutil.copy2(path, folder)
    stop_redis, store = (None, setup.store) if setup.store != "redis" else start_redis(folder)

    def clean() -> None:
        if stop_redis is not None:
            stop_redis()
        shutil.rmtree(folder, ignore_errors=True)

    command = [
        sys.executable, "-m", "mcpd", "serve", "--state-dir", folder, "--port", "PORT",
        "--app", f"{HERE / 'peers' / 'demo.py'}:{setup.app}", "--store", store,
        "--calls-per-minute", str(CALLS_PER_MINUTE), "--page-size", "1000",
        "--max-streams-per-user", str(STREAMS_PER_USER), "--max-streams", str(MAX_STREAMS),
        "--max-calls-per-user", "2000",
    ]  # fmt: skip
    return Contestant("mcpd", command, path="/mcp/", token=token, at_end=clean)


def start_redis(folder: str) -> tuple[Callable[[], None], str]:
    """A Redis without persistence, on the cores of this process; how to stop it, and its URL."""
    path = shutil.which("redis-server") or shutil.which("valkey-server")
    if path is None:
        raise SystemExit("this scenario needs redis-server")
    socket_path = f"{folder}/redis"
    process = subprocess.Popen(
        [path, "--port", "0", "--unixsocket", socket_path, "--save", "", "--dir", folder],
        stdout=subprocess.DEVNULL,
    )

    def stop() -> None:
        process.kill()
        process.wait()

    return stop, f"unix://{socket_path}"
