"""Who is measured, and how each is started."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
VENVS = HERE.parent / ".clients"
SERVER_CORE = "0"


@dataclass
class Contestant:
    """One server. ``modern`` tells whether it speaks 2026-07-28."""

    name: str
    command: list[str]
    path: str = "/mcp"
    token: str = ""
    environ: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    cores: str = SERVER_CORE

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
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1])


def contestants() -> list[Contestant]:
    """mcpd with authentication, access log and durable sessions on; the others without."""
    state = tempfile.mkdtemp(prefix="mcpd-bench-")
    demo = str(HERE / "peers" / "demo.py") + ":app"
    mcpd = [sys.executable, "-m", "mcpd"]
    token = subprocess.run(
        [*mcpd, "token", "create", "--sub", "bench", "--state-dir", state, "--new-secret"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    found = [
        Contestant("floor", [sys.executable, str(HERE / "peers" / "floor.py"), "PORT"]),
        Contestant(
            "mcpd",
            [*mcpd, "serve", "--state-dir", state, "--app", demo, "--port", "PORT"],
            token=token,
        ),
    ]
    for name, venv, script in (
        ("Python SDK", "bench-mcp", "sdk.py"),
        ("FastMCP", "bench-fastmcp", "fastmcp_server.py"),
    ):
        python = VENVS / venv / "bin" / "python"
        if not python.exists():
            raise SystemExit("run benchmarks/install first")
        found.append(Contestant(name, [str(python), str(HERE / "peers" / script), "PORT"]))
    return found
