"""Several workers behind one socket: crashes, rolling restarts, and supervisors that vanish."""

import os
import resource
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
import trio

from tests.end_to_end.daemon import Daemon, children_of
from tests.in_process import HandshakeClient, modern
from tests.peer import Peer
from tests.sessions.stores import fresh

pytestmark = pytest.mark.slow
GONE_S = 10.0  # for a process to be gone

PID_APP = """
import os
import trio
from mcpd import App, Context
app = App("pids")

@app.tool
async def pid() -> int:
    return os.getpid()

@app.tool(task="required")
async def perhaps_a_task() -> str:
    return "done"

@app.tool
async def nap(seconds: float) -> str:
    await trio.sleep(seconds)
    return "rested"
"""


@pytest.fixture
def app(tmp_path):
    path = tmp_path / "pid_app.py"
    path.write_text(PID_APP)
    return f"{path}:app"


TASKS = {
    "io.modelcontextprotocol/clientCapabilities": {
        "extensions": {"io.modelcontextprotocol/tasks": {}}
    }
}


def workers_of(daemon: Daemon) -> list[int]:
    return children_of(daemon.process.pid)


def wait_for_workers(daemon: Daemon, count: int, *, other_than: list[int]) -> list[int]:
    deadline = time.monotonic() + GONE_S
    while time.monotonic() < deadline:
        found = [pid for pid in workers_of(daemon) if pid not in other_than]
        if len(found) == count:
            return found
        time.sleep(0.02)
    raise AssertionError(daemon.text())


async def answering(daemon: Daemon, token: str, times: int) -> set[int]:
    """Which processes answer, each on a connection of its own."""
    found = set()
    for _ in range(times):
        peer = await daemon.connect(token=token)
        reply = await modern(peer, "tools/call", {"name": "pid"})
        found.add(reply.json()["result"]["structuredContent"])
        await peer.stream.aclose()
    return found


def test_workers_need_a_store_that_they_share(tmp_path):
    daemon = Daemon(tmp_path / "s", "--port", "0", "--workers", "2")
    assert daemon.wait() == 78
    assert "need a store that they share" in daemon.text()
    assert "redis://" in daemon.text()
    assert "--no-handshake" in daemon.text()
    daemon.kill()


async def test_workers_without_sessions_need_no_store(tmp_path, app):
    flags = ("--port", "0", "--workers", "2", "--no-handshake", "--app", app)
    with Daemon(tmp_path / "s", *flags) as daemon:
        token = daemon.token()
        assert await answering(daemon, token, 30) <= set(workers_of(daemon))
        peer = await daemon.connect(token=token)
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
        refused = await peer.request("POST", "/mcp/", json=message)
        assert (refused.status, refused.json()["error"]["code"]) == (400, -32022)
        assert refused.json()["error"]["data"]["supported"] == ["2026-07-28"]
        for method in ("GET", "DELETE"):
            assert (await peer.request(method, "/mcp/")).status == 405
        discovered = (await modern(peer, "server/discover")).json()["result"]
        assert discovered["supportedVersions"] == ["2026-07-28"]
        assert "extensions" not in discovered["capabilities"]  # no task could be found again
        called = await modern(peer, "tools/call", {"name": "perhaps_a_task"}, meta=TASKS)
        assert called.json()["result"]["content"][0]["text"] == "done"
        assert (await peer.request("POST", "/register")).status == 404
        await peer.stream.aclose()
        assert daemon.stop() == 0


async def test_a_crashed_worker_is_replaced(tmp_path, app, redis):
    flags = ("--port", "0", "--workers", "2", "--store", fresh(redis), "--app", app)
    with Daemon(tmp_path / "s", *flags) as daemon:
        token = daemon.token()
        session = HandshakeClient(await daemon.connect(token=token))
        await session.open()
        await session.peer.stream.aclose()
        old = workers_of(daemon)
        os.kill(old[0], signal.SIGKILL)
        fresh_ones = wait_for_workers(daemon, 1, other_than=old)
        daemon.wait_for("ended \\(signal 9\\)")
        daemon.wait_for(f"worker {fresh_ones[0]} serves")
        assert await answering(daemon, token, 20) <= {old[1], fresh_ones[0]}
        session.peer = await daemon.connect(token=token)
        assert (await session.call("tools/call", {"name": "pid"})).status == 200
        await session.peer.stream.aclose()
        assert daemon.stop() == 0


async def test_a_rolling_restart_refuses_no_connection(tmp_path, app, redis):
    flags = ("--port", "0", "--workers", "2", "--store", fresh(redis), "--app", app)
    with Daemon(tmp_path / "s", *flags) as daemon:
        token, old = daemon.token(), workers_of(daemon)
        failures, served = [], set()
        rolled = trio.Event()

        async def knock() -> None:
            while not rolled.is_set():
                try:
                    served.update(await answering(daemon, token, 1))
                except Exception as error:
                    failures.append(error)

        napping = await daemon.connect(token=token)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(knock)

            async def nap() -> None:
                reply = await modern(
                    napping, "tools/call", {"name": "nap", "arguments": {"seconds": 2}}
                )
                assert reply.json()["result"]["content"][0]["text"] == "rested"

            nursery.start_soon(nap)
            await trio.sleep(0.3)
            daemon.send(signal.SIGUSR2)
            await trio.to_thread.run_sync(lambda: daemon.wait_for("all workers are new"))
            await trio.sleep(0.3)
            rolled.set()
        await napping.stream.aclose()
        assert failures == []
        new = wait_for_workers(daemon, 2, other_than=old)
        assert served >= set(new)
        assert daemon.stop() == 0


def test_a_planned_stop_of_workers_leaves_no_listener_that_accepts_nothing(tmp_path, app):
    options = ("--workers", "2", "--no-handshake", "--auth", "none", "--app", app)
    with Daemon(tmp_path, *options) as daemon:
        faults: list[str] = []
        served = [0] * 6
        stop = threading.Event()

        def call(number: int) -> None:
            while not stop.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as sock:
                        sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        if not sock.recv(4096).startswith(b"HTTP/1.1 "):
                            faults.append("no answer")
                        served[number] += 1
                except ConnectionRefusedError:
                    return
                except OSError as error:
                    faults.append(repr(error))

        threads = [threading.Thread(target=call, args=(number,)) for number in range(len(served))]
        for thread in threads:
            thread.start()
        while not all(served):
            time.sleep(0.01)
        daemon.process.terminate()
        assert daemon.process.wait(30) == 0
        stop.set()
        for thread in threads:
            thread.join(30)
        # Between the last look at what waits and the close there is a moment, and the kernel resets
        # what comes in it. Without a listener that accepts, each of them would be reset.
        assert len(faults) <= len(threads) // 3, faults


async def test_a_stop_during_a_roll_lets_what_drains_drain(tmp_path, app, redis):
    flags = ("--port", "0", "--workers", "2", "--store", fresh(redis), "--app", app)
    with Daemon(tmp_path / "s", *flags) as daemon:
        peer = await daemon.connect(token=daemon.token())
        async with trio.open_nursery() as nursery:

            async def nap() -> None:
                reply = await modern(
                    peer, "tools/call", {"name": "nap", "arguments": {"seconds": 3}}
                )
                assert reply.json()["result"]["content"][0]["text"] == "rested"

            nursery.start_soon(nap)
            await trio.sleep(0.3)
            daemon.send(signal.SIGUSR2)
            await trio.to_thread.run_sync(lambda: daemon.wait_for("all workers are new"))
            daemon.send(signal.SIGTERM)
        await peer.stream.aclose()
        assert await trio.to_thread.run_sync(daemon.wait) == 0
        assert "did not stop in time" not in daemon.text()


async def test_a_host_that_is_full_for_a_while_loses_no_worker_for_good(tmp_path, app, redis):
    flags = ("--port", "0", "--workers", "2", "--store", fresh(redis), "--app", app)
    with Daemon(tmp_path / "s", *flags) as daemon:
        daemon.wait_for("listening on")
        old, supervisor = workers_of(daemon), daemon.process.pid
        limits = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{supervisor}/fd"))
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (used, limits[1]))
        os.kill(old[0], signal.SIGKILL)
        daemon.wait_for("a worker cannot be started")
        daemon.send(signal.SIGUSR2)
        daemon.wait_for("the old ones stay")
        assert old[1] in workers_of(daemon)
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, limits)
        wait_for_workers(daemon, 1, other_than=old)
        assert await answering(daemon, daemon.token(), 5)
        assert daemon.stop() == 0


async def test_a_replacement_that_hangs_keeps_nobody_from_serving_or_stopping(tmp_path, app, redis):
    flags = ("--port", "0", "--workers", "2", "--store", fresh(redis), "--app", app)
    with Daemon(tmp_path / "s", *flags) as daemon:
        daemon.wait_for("listening on")
        old = workers_of(daemon)
        path = tmp_path / "pid_app.py"
        path.write_text("import time\ntime.sleep(3600)\n" + path.read_text())
        daemon.send(signal.SIGUSR2)
        (hanging,) = wait_for_workers(daemon, 1, other_than=old)
        assert await answering(daemon, daemon.token(), 5) <= set(old)
        daemon.send(signal.SIGTERM)
        assert await trio.to_thread.run_sync(daemon.wait) == 0
        assert not Path(f"/proc/{hanging}").exists()
        assert "did not stop in time" not in daemon.text()


async def test_a_reload_reaches_every_worker_and_a_bad_app_keeps_the_old_ones(tmp_path, app, redis):
    flags = ("--port", "0", "--workers", "2", "--store", fresh(redis), "--app", app)
    with Daemon(tmp_path / "s", *flags) as daemon:
        daemon.wait_for("listening on")
        daemon.send(signal.SIGHUP)
        daemon.wait_for("(?s)reloaded: .*reloaded: ")
        old = workers_of(daemon)
        (tmp_path / "pid_app.py").write_text("this is no Python")
        daemon.send(signal.SIGUSR2)
        daemon.wait_for("the old ones stay")
        wait_for_workers(daemon, 2, other_than=[])
        assert set(workers_of(daemon)) == set(old)
        assert await answering(daemon, daemon.token(), 5) <= set(old)
        assert daemon.stop() == 0


def test_workers_end_with_their_supervisor(tmp_path, app, redis):
    flags = ("--port", "0", "--workers", "2", "--store", fresh(redis), "--app", app)
    with Daemon(tmp_path / "s", *flags) as daemon:
        daemon.wait_for("listening on")
        workers = workers_of(daemon)
        assert len(workers) == 2
        daemon.send(signal.SIGKILL)
        deadline = time.monotonic() + GONE_S
        while any(Path(f"/proc/{pid}").exists() for pid in workers):
            assert time.monotonic() < deadline, daemon.text()
            time.sleep(0.02)
        assert "the supervisor is gone" in daemon.text()


async def test_workers_on_a_unix_socket(tmp_path, app, redis):
    path = tmp_path / "mcpd.sock"
    flags = ("--unix", str(path), "--workers", "2", "--store", fresh(redis), "--app", app)
    with Daemon(tmp_path / "s", *flags) as daemon:
        daemon.wait_for("listening on unix:")
        peer = Peer(await trio.open_unix_socket(str(path)))
        assert (await peer.request("GET", "/health")).json()["store"]["kind"] == "redis"
        await peer.stream.aclose()
        assert daemon.stop() == 0
        assert not path.exists()


def test_a_worker_that_cannot_start_stops_the_supervisor(tmp_path, redis):
    bad = tmp_path / "bad.py"
    bad.write_text("1/0")
    flags = ("--workers", "2", "--store", fresh(redis), "--app", f"{bad}:app")
    daemon = Daemon(tmp_path / "s", "--port", "0", *flags)
    assert daemon.wait() == 78
    assert "ZeroDivisionError" in daemon.text()
    daemon.kill()


def test_systemd_hears_of_workers_from_their_supervisor(tmp_path, app, redis):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(20)
        environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
        flags = ("--port", "0", "--workers", "2", "--store", fresh(redis), "--app", app)
        with Daemon(tmp_path / "s", *flags, environ=environ) as daemon:
            told = ""
            while "READY=1" not in told or told.count("WATCHDOG=1") < 2:
                told += sock.recv(4096).decode() + "\n"
            assert "2 workers on http://" in told
            daemon.send(signal.SIGTERM)
            while "STOPPING=1" not in told:
                told += sock.recv(4096).decode() + "\n"
            assert daemon.wait() == 0
