"""What a bridge adds to a call: python -m benchmarks.bridge

mcpd bridge beside mcp-proxy (PyPI) and mcp-remote (npm), all before the same mcpd, in turns in one
run: one call after the other, so what is printed is time and not throughput. ``direct`` is the same
call over a kept HTTP connection. benchmarks/install and conformance/clients/install install them.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.client import free_port
from benchmarks.contestants import HERE

ROOT = HERE.parent
CLIENTS = ROOT / ".clients"
START_S = 30.0
VERSION = "2025-11-25"
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def message(number: int, method: str, params: Mapping[str, object]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()


HELLO = message(0, "initialize", {"protocolVersion": VERSION, "capabilities": {},
                                  "clientInfo": {"name": "bench", "version": "1"}})  # fmt: skip
READY = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


class Direct:
    """A session over one HTTP connection."""

    name = "direct"

    def __init__(self, port: int, token: str) -> None:
        self._http = HTTPConnection("127.0.0.1", port)
        self._headers = {**HEADERS, "Authorization": f"Bearer {token}"}
        self._post(HELLO)
        self._post(READY)

    def _post(self, body: bytes) -> bytes:
        self._http.request("POST", "/mcp/", body, self._headers)
        answer = self._http.getresponse()
        if session := answer.getheader("mcp-session-id"):
            self._headers["Mcp-Session-Id"] = session
            self._headers["MCP-Protocol-Version"] = VERSION
        return answer.read()

    def call(self, number: int) -> bytes:
        return self._post(message(number, "tools/call", ADD))

    def close(self) -> None:
        self._http.close()


ADD = {"name": "add", "arguments": {"a": 1, "b": 2}}


class Child:
    """A session through a bridge."""

    def __init__(self, name: str, command: list[str], environ: dict[str, str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, **environ},
        )  # fmt: skip
        self._ask(HELLO, 0)
        self._write(READY)

    def _write(self, line: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()

    def _ask(self, line: bytes, number: int) -> bytes:
        self._write(line)
        assert self._process.stdout
        while answer := self._process.stdout.readline():
            if json.loads(answer).get("id") == number:
                return answer
        raise RuntimeError(f"{self.name} ended")

    def call(self, number: int) -> bytes:
        return self._ask(message(number, "tools/call", ADD), number)

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def bridges(url: str, token: str, state: str) -> list[Child]:
    """Those that are installed."""
    bearer = f"Bearer {token}"
    found = [
        Child("mcpd bridge", [sys.executable, "-m", "mcpd", "bridge", url, "--state-dir", state],
              {"MCPD_TOKEN": token})
    ]  # fmt: skip
    proxy = CLIENTS / "bench-mcp-proxy" / "bin" / "mcp-proxy"
    if proxy.exists():
        command = [str(proxy), "--transport", "streamablehttp", "-H", "Authorization", bearer, url]
        found.append(Child("mcp-proxy", command, {}))
    remote = CLIENTS / "conformance-node" / "node_modules"
    node = remote / "node" / "bin" / "node"
    script = remote / "mcp-remote" / "dist" / "proxy.js"
    if script.exists():
        program = str(node) if node.exists() else shutil.which("node") or "node"
        command = [program, str(script), url, "--allow-http", "--header", f"Authorization:{bearer}"]
        found.append(Child("mcp-remote", command, {"MCP_REMOTE_CONFIG_DIR": state}))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200, help="in a round, for each")
    arguments = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as state:
        base = [sys.executable, "-m", "mcpd"]
        server = subprocess.Popen(
            [*base, "serve", "--port", str(port), "--state-dir", state, "--no-access-log",
             "--app", f"{HERE / 'peers' / 'demo.py'}:app"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        make = [*base, "token", "create", "--sub", "bench", "--state-dir", state, "--new-secret"]
        try:
            time.sleep(1.5)
            done = subprocess.run(make, capture_output=True, text=True, check=True)
            run(arguments, port, done.stdout.strip(), state)
        finally:
            server.kill()
            server.wait()


def run(arguments: argparse.Namespace, port: int, token: str, state: str) -> None:
    children = bridges(f"http://127.0.0.1:{port}/mcp/", token, state)
    ways: list[Direct | Child] = [Direct(port, token), *children]
    medians: dict[str, list[float]] = {origin.name: [] for origin in ways}
    number = 0
    for _ in range(arguments.rounds):
        for origin in ways:
            taken = []
            for _ in range(arguments.calls):
                number += 1
                began = time.perf_counter()
                answer = origin.call(number)
                taken.append(time.perf_counter() - began)
                if b'"result"' not in answer:
                    raise RuntimeError(f"{origin.name}: {answer!r}")
            medians[origin.name].append(statistics.median(taken) * 1000)
    direct = statistics.median(medians["direct"])
    print(f"{'':12} {'call, ms':>9} {'added, ms':>10} {'MB':>5}")
    for origin in ways:
        median = statistics.median(medians[origin.name])
        memory = f"{origin.memory_mb():5.0f}" if isinstance(origin, Child) else ""
        print(f"{origin.name:12} {median:9.2f} {median - direct:10.2f} {memory}")
    for origin in ways:
        origin.close()


if __name__ == "__main__":
    main()
