"""What operators ask a real server: metrics, status, the level of its log."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import trio

from tests.end_to_end.daemon import Daemon, children_of, free_port
from tests.in_process import modern

pytestmark = pytest.mark.slow
WITHIN_S = 20.0


def mcpd(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mcpd", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def scraped(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


async def comes(condition) -> None:
    with trio.fail_after(WITHIN_S):
        while not await trio.to_thread.run_sync(condition):
            await trio.sleep(0.1)


async def calls(daemon: Daemon, number: int) -> None:
    peer = await daemon.connect(token=daemon.token())
    async with peer.stream:
        for _ in range(number):
            arguments = {"name": "manage_task", "arguments": {"action": "list"}}
            assert (await modern(peer, "tools/call", arguments)).status == 200


CALLED = (
    'mcp_server_operation_duration_seconds_count{error_type="",gen_ai_tool_name="manage_task",'
    'mcp_method_name="tools/call"}'
)


async def test_one_scrape_shows_all_workers_and_nothing_counts_backwards(tmp_path):
    port = free_port()
    flags = ("--port", "0", "--workers", "2", "--no-handshake", "--metrics", f"127.0.0.1:{port}")
    with Daemon(tmp_path / "s", *flags) as daemon:
        for _ in range(6):  # each on a connection of its own, so that both workers get some
            await calls(daemon, 5)
        await comes(lambda: scraped(port).get(CALLED) == 30)
        assert scraped(port)["mcpd_processes"] == 2
        os.kill(children_of(daemon.process.pid)[0], signal.SIGKILL)
        await comes(lambda: scraped(port).get("mcpd_worker_restarts_total") == 1)
        await comes(lambda: scraped(port).get("mcpd_processes") == 2)
        assert scraped(port)[CALLED] == 30
        await calls(daemon, 5)
        await comes(lambda: scraped(port).get(CALLED) == 35)
        told = json.loads(mcpd("status", "--json", "--state-dir", str(tmp_path / "s")).stdout)
        assert told["tools"][0]["name"] == "manage_task"
        assert told["tools"][0]["calls"] == 35
        assert sorted(told["pids"]) == sorted(children_of(daemon.process.pid))
        assert any("ended (signal 9)" in line["message"] for line in told["lines"])
        assert daemon.stop() == 0
        assert not list((tmp_path / "s" / "servers").iterdir())


async def test_status_is_told_to_people_and_the_log_level_changes(tmp_path):
    state = tmp_path / ("a long name of a folder " * 6).strip()  # longer than a socket may have
    with Daemon(state, "--port", "0") as daemon:
        await calls(daemon, 3)
        assert await daemon.status("no token") == 401
        shown = mcpd("status", "--state-dir", str(state))
        assert shown.returncode == 0, shown
        assert "ready" in shown.stdout
        assert daemon.base in shown.stdout
        assert "manage_task" in shown.stdout
        assert "malformed" in shown.stdout
        done = mcpd("log-level", "debug", "--state-dir", str(state))
        assert done.returncode == 0
        assert "debug" in done.stdout
        peer = await daemon.connect()
        await peer.stream.aclose()
        daemon.wait_for("the log level is debug")
        assert mcpd("log-level", "loud", "--state-dir", str(state)).returncode == 2
        sock = next((state / "servers").glob("*.sock"))
        assert sock.stat().st_mode & 0o777 == 0o600
    gone = mcpd("status", "--state-dir", str(state))
    assert gone.returncode != 0
    assert "No server runs" in gone.stderr


async def test_metrics_are_not_on_the_public_port_and_answer_for_names_of_this_machine_alone(
    tmp_path,
):
    port = free_port()
    with Daemon(tmp_path / "s", "--port", "0", "--metrics", f"127.0.0.1:{port}") as daemon:
        for url, host, wanted in (
            (f"{daemon.base}/metrics", "localhost", 404),
            (f"http://127.0.0.1:{port}/metrics", "evil.example", 421),
            (f"http://127.0.0.1:{port}/status", "localhost", 404),
            (f"http://127.0.0.1:{port}/log-level", "localhost", 404),
        ):
            request = urllib.request.Request(url, headers={"Host": host})
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=10)
            assert caught.value.code == wanted
            caught.value.close()


def test_an_address_for_metrics_that_is_taken_or_none_is_told(tmp_path):
    for address, words in (("9464", "metrics names no address"), ("x:99999", "no address")):
        with Daemon(tmp_path / "s", "--port", "0", "--metrics", address) as daemon:
            assert daemon.wait() == 78
            assert words in daemon.text()
    port = free_port()
    with Daemon(tmp_path / "a", "--port", "0", "--metrics", f"127.0.0.1:{port}") as first:
        first.wait_for("listening on")
        with Daemon(tmp_path / "b", "--port", "0", "--metrics", f"127.0.0.1:{port}") as second:
            assert second.wait() not in (0, 78)
            assert "give another --metrics" in second.text()


def test_what_a_dead_server_left_is_taken_away(tmp_path):
    folder = tmp_path / "s" / "servers"
    with Daemon(tmp_path / "s", "--port", "0") as daemon:
        daemon.wait_for("listening on")
        left = next(folder.glob("*.sock"))
    assert left.exists()
    time.sleep(1.1)  # a record that was made just now may not be locked yet
    with Daemon(tmp_path / "s", "--port", "0") as daemon:
        daemon.wait_for("listening on")
        sockets = [path.stem for path in folder.glob("*.sock")]
        assert [stem.partition("-")[0] for stem in sockets] == [str(daemon.process.pid)]
