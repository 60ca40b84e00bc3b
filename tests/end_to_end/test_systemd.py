"""systemd's protocols and units, with systemd's own tools where they are."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from tests.end_to_end.daemon import Daemon, free_port, need
from tests.peer import Peer

pytestmark = pytest.mark.slow
UNITS = Path(__file__).parents[2] / "systemd"
MAX_EXPOSURE = 1.5


@pytest.fixture
def notify(tmp_path):
    path = tmp_path / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(15)
        yield path, sock


def until(sock: socket.socket, wanted: str) -> str:
    while True:
        message = sock.recv(4096).decode()
        if wanted in message:
            return message


def test_ready_reloading_stopping_and_a_fed_watchdog(tmp_path, notify):
    path, sock = notify
    environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}
    with Daemon(tmp_path / "s", "--port", "0", environ=environ) as daemon:
        assert "STATUS=listening on http://127.0.0.1:" in until(sock, "READY=1")
        for _ in range(3):
            until(sock, "WATCHDOG=1")
        before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon.send(signal.SIGHUP)
        reloading = until(sock, "RELOADING=1")
        stamp = int(re.search(r"MONOTONIC_USEC=(\d+)", reloading)[1])  # type: ignore[index]
        assert before_us <= stamp <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        until(sock, "READY=1")
        daemon.send(signal.SIGTERM)
        until(sock, "STOPPING=1")
        assert daemon.wait() == 0
        assert "TOKEN=" not in daemon.text()  # nothing to paste for a service


async def test_a_restart_behind_the_socket_unit_refuses_no_connection(tmp_path):
    """systemd-socket-activate keeps the socket; the service under it is replaced."""
    tool = shutil.which("systemd-socket-activate")
    need(tool is not None, "systemd-socket-activate")
    port = free_port()
    script = tmp_path / "service"
    # What systemd does: start the service again when it has ended, on the same socket.
    script.write_text(
        "#!/bin/bash\n"
        f"for turn in 1 2 3; do LISTEN_PID= bash -c 'export LISTEN_PID=$$; exec \"$@\"' _ "
        f"{sys.executable} -m mcpd serve --state-dir {tmp_path}/s & echo $! > {tmp_path}/pid;"
        " wait $!; done\n"
    )
    script.chmod(0o755)
    manager = subprocess.Popen(
        [str(tool), "--listen", f"127.0.0.1:{port}", str(script)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    answered = refused = 0
    try:
        deadline = trio.current_time() + 40
        turns: set[str] = set()
        while len(turns) < 3 and trio.current_time() < deadline:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                refused += 1 if answered else 0
                await trio.sleep(0.05)
                continue
            peer = Peer(stream, host="localhost")
            try:
                assert (await peer.request("GET", "/health")).status in (200, 503)  # draining
            finally:
                await trio.aclose_forcefully(stream)
            answered += 1
            pid = (tmp_path / "pid").read_text().strip()
            if pid not in turns:
                turns.add(pid)
                subprocess.run(["kill", "-TERM", pid], check=True)
    finally:
        manager.kill()
        manager.wait()
        subprocess.run(["kill", "-KILL", (tmp_path / "pid").read_text().strip()], check=False)
    assert refused == 0
    assert len(turns) == 3
    assert answered >= 3


def test_the_units_are_valid_and_hardened(tmp_path):
    tool = shutil.which("systemd-analyze")
    need(tool is not None, "systemd-analyze")
    for unit in UNITS.glob("mcpd.*"):
        text = unit.read_text().replace("/usr/local/bin/mcpd", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    units = [str(tmp_path / name) for name in ("mcpd.service", "mcpd.socket")]
    verified = subprocess.run(
        [str(tool), "verify", *units], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    rated = subprocess.run(
        [str(tool), "security", "--offline=true", units[0]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    level = re.search(r"exposure level for mcpd.service: ([\d.]+)", rated.stdout)
    assert level is not None, rated
    assert float(level[1]) <= MAX_EXPOSURE
