"""A real mcpd process, and ways to hurt it."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import trio

from mcpd.access.scopes import SCOPE_EXECUTE
from mcpd.cli.token import sign
from mcpd.config import Config
from mcpd.server.jwt_secrets import find_secrets
from tests.in_process import modern
from tests.peer import Peer

START_S = 60.0
CI = os.environ.get("CI") == "true"


class Daemon:
    """``mcpd serve`` on a free port, with its state in ``state_dir``."""

    def __init__(
        self,
        state_dir: Path,
        *flags: str,
        environ: dict[str, str] | None = None,
        command: tuple[str, ...] = (),
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.state_dir = state_dir
        self.log_path = state_dir.parent / f"{state_dir.name}-{time.monotonic_ns()}.log"
        self.log = self.log_path.open("wb")
        names = {n: v for n, v in os.environ.items() if not n.startswith(("MCPD_", "JWT_"))}
        self.process = subprocess.Popen(
            [
                *command,
                sys.executable,
                "-m",
                "mcpd",
                "serve",
                "--state-dir",
                str(state_dir),
                *flags,
            ],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**names, **(environ or {})},
            pass_fds=pass_fds,
        )

    def text(self) -> str:
        return self.log_path.read_text()

    def wait_for(self, pattern: str, *, timeout_s: float = START_S) -> re.Match[str]:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.text()):
                return found
            if self.process.poll() is not None and not re.search(pattern, self.text()):
                break
            time.sleep(0.01)
        raise AssertionError(f"no {pattern!r} in:\n{self.text()}")

    @property
    def base(self) -> str:
        return self.wait_for(r"listening on (https?://\S+?)/mcp/")[1]

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    def token(self, *flags: str, sub: str = "alice", ttl: str = "24h") -> str:
        """As ``mcpd token create`` makes it; in a process of its own where flags are given."""
        if flags:
            done = subprocess.run(
                [sys.executable, "-m", "mcpd", "token", "create", "--sub", sub,
                 "--state-dir", str(self.state_dir), "--new-secret", *flags],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            return done.stdout.strip()
        config = Config(state_dir=self.state_dir)
        source = find_secrets(config, {}, create=True)  # the server may still be starting
        return sign(config, source, sub, (SCOPE_EXECUTE,), token_type="access", ttl=ttl)

    async def connect(self, *, token: str | None = None, tls: ssl.SSLContext | None = None) -> Peer:
        stream: Any = await trio.open_tcp_stream("127.0.0.1", self.port)
        if tls is not None:
            stream = trio.SSLStream(stream, tls, server_hostname="localhost")
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return Peer(stream, host=f"localhost:{self.port}", headers=headers)

    async def status(self, credential: str) -> int:
        """Of a stateless request with this credential, on a connection of its own."""
        peer = await self.connect(token=credential)
        reply = await modern(peer, "tools/list")
        await peer.stream.aclose()
        return reply.status

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 30.0) -> int:
        return self.process.wait(timeout_s)

    def reload(self, environ: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        """As ``mcpd reload`` of the service unit."""
        return subprocess.run(
            [sys.executable, "-m", "mcpd", "reload", str(self.process.pid),
             "--state-dir", str(self.state_dir)],
            capture_output=True, text=True, check=False, env={**os.environ, **(environ or {})},
        )  # fmt: skip

    def stop(self) -> int:
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    listed = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for child in " ".join(listed).split()]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def need(present: bool, what: str) -> None:
    """Skip on a developer's machine, fail where everything must be there."""
    import pytest

    if present:
        return
    if CI:
        pytest.fail(f"{what} is missing, and CI=true")
    pytest.skip(f"{what} is missing")
