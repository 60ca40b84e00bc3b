"""A real Redis of our own, on a free port, gone with the test."""

import importlib.metadata
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.end_to_end.daemon import free_port, need

START_S = 10.0
SERVERS = Path(__file__).parent.parent / ".servers"


def packaged(distribution: str) -> str:
    """The server that a package has in it, which ``.ci/run`` installs into ``.servers``."""
    names = ("redis-server", "valkey-server")
    folders = [str(SERVERS), *sys.path]
    for found in importlib.metadata.distributions(name=distribution, path=folders):
        for file in found.files or ():
            if file.name in names:
                return str(file.locate())
    need(False, distribution)
    return ""


class RedisServer:
    """``redis-server`` with its data in ``folder``; it can be killed and started again.

    It writes before it answers and leaves syncing to the system, so that a kill loses nothing.
    With ``everysec`` it puts a write off while the one before is synced.

    Args:
        flags: more arguments of redis-server.
        program: another one than that.
    """

    def __init__(self, folder: Path, *flags: str, program: str = "") -> None:
        binary = program or shutil.which("redis-server") or shutil.which("valkey-server")
        need(binary is not None, "redis-server")
        self.binary = str(binary)
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.flags = flags
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [
            self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
            "--appendonly", "yes", "--appendfsync", "no", "--save", "", *self.flags,
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if "Ready to accept connections" in (self.folder / "log").read_text():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError((self.folder / "log").read_text())

    def cli(self, *command: str) -> str:
        """What redis-cli prints."""
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), *command],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        (self.folder / "log").write_text("")

    def __enter__(self) -> "RedisServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
