"""Servers that are killed and restarted under a client that does not notice."""

import json
import os
import random
import signal
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.end_to_end.daemon import Daemon, children_of, free_port, need
from tests.end_to_end.proxy import Proxy
from tests.end_to_end.test_clients import CLIENTS, SCRIPTS
from tests.redis_server import RedisServer

pytestmark = pytest.mark.slow
LIMIT_S = 120
KILL_PAUSE_S = 3.0  # the client gives a call up when it is interrupted twice in a row
DRAIN_S = "2"  # a request that has come is answered within it, on a busy machine too
PYTHON = CLIENTS / "python-1" / "bin" / "python"

APP = """
import os
import trio
from dataclasses import dataclass
from pathlib import Path
from mcpd import App, Context

app = App("work")
runs = Path(__file__).with_name("runs")

@dataclass
class Go:
    ok: bool

@app.tool(idempotent=True)
async def work(key: str, ctx: Context) -> str:
    with runs.open("a") as file:
        file.write(f"{key} {os.getpid()}\\n")
    for number in range(4):
        await ctx.report_progress(number + 1, 4)
        await trio.sleep(0.05)
    await ctx.elicit(f"go on with {key}?", Go)
    return f"done {key}"

@app.tool
async def risky(ctx: Context) -> str:
    await ctx.report_progress(1, 2)
    await trio.sleep(60)
    return "done"
"""


@pytest.fixture
def app(tmp_path):
    path = tmp_path / "work.py"
    path.write_text(APP)
    return f"{path}:app"


class Server:
    """A process, or several workers, that comes back on the same port."""

    def __init__(self, tmp_path: Path, *flags: str) -> None:
        self.tmp_path = tmp_path
        self.port = free_port()
        self.flags = ("--port", str(self.port), "--drain-timeout-s", DRAIN_S, *flags)
        self.daemon = Daemon(tmp_path / "state", *self.flags)

    async def ready(self) -> None:
        await trio.to_thread.run_sync(partial(self.daemon.wait_for, "listening on"))

    def pids(self) -> list[int]:
        """Of the workers, or of the one process."""
        pid = self.daemon.process.pid
        if "--workers" not in self.flags:
            return [pid]
        return children_of(pid)

    async def hurt(self, proxy: Proxy, rng: random.Random, number: signal.Signals) -> str:
        """Kill or stop one process, and see that there is one again."""
        pid = rng.choice(self.pids())
        while number == signal.SIGKILL and proxy.owes(self.port):
            await trio.sleep(0.001)
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return "NOBODY"
        if "--workers" not in self.flags:
            if number == signal.SIGKILL:
                proxy.avoid.add(self.port)
            await trio.to_thread.run_sync(self.daemon.process.wait)
            proxy.avoid.discard(self.port)
            self.daemon.log.close()
            self.daemon = Daemon(self.tmp_path / "state", *self.flags)
            await self.ready()
        return number.name


async def run_client(proxy: Proxy, token: str, calls: int) -> dict:
    environ = {
        **os.environ,
        "MCPD_URL": f"http://127.0.0.1:{proxy.port}/mcp/",
        "MCPD_TOKEN": token,
        "MCPD_CALLS": str(calls),
        "MCPD_AT_ONCE": "10",
    }
    with trio.fail_after(LIMIT_S):
        done = await trio.run_process(
            [PYTHON, SCRIPTS / "calls_v1.py"], env=environ, capture_stdout=True,
            capture_stderr=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


async def shake(servers: list[Server], calls: int, every_s: float) -> tuple[dict, list[str]]:
    """The client's report, and what was done to the servers meanwhile."""
    rng = random.Random(os.environ.get("TEST_SEED"))
    hurts: list[str] = []
    proxy = Proxy([server.port for server in servers])

    async def hurt_for_ever() -> None:
        next_kill = trio.current_time()
        while True:
            await trio.sleep(every_s * rng.uniform(0.5, 1.5))
            number = signal.SIGTERM
            if trio.current_time() >= next_kill:
                number, next_kill = signal.SIGKILL, trio.current_time() + KILL_PAUSE_S
            hurts.append(await rng.choice(servers).hurt(proxy, rng, number))

    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.run)
        for server in servers:
            await server.ready()
        nursery.start_soon(hurt_for_ever)
        try:
            report = await run_client(proxy, servers[0].daemon.token(), calls)
        finally:
            seen = f"dropped: {proxy.dropped}, turned away: {proxy.turned_away}"
            print(f"last {hurts[-3:]}, at {trio.current_time():.3f}; {seen}")
        nursery.cancel_scope.cancel()
    assert proxy.dropped == []
    return report, hurts


def check(report: dict, calls: int) -> None:
    assert report["failed"] == {}
    assert report["wrong"] == {}
    assert sorted(report["answered"]) == sorted(f"k{number}" for number in range(calls))
    assert report["strays"] == []


def close(servers: list[Server]) -> None:
    for server in servers:
        server.daemon.stop()
        server.daemon.kill()


def tell(hurts: list[str], report: dict, tmp_path: Path) -> None:
    """What happened, for whoever runs this with -s."""
    runs = len((tmp_path / "runs").read_text().splitlines())
    kills, stops = hurts.count("SIGKILL"), hurts.count("SIGTERM")
    print(f"\n{kills} kills, {stops} stops, {runs} runs of {len(report['answered'])} calls,"
          f" {report['asked']} questions, {report['resumed_by_hand']} resumed by hand")  # fmt: skip


async def test_five_processes_come_and_go_and_no_call_is_lost(tmp_path, app):
    """Two workers and three servers on one Redis, behind a proxy without any stickiness."""
    need(PYTHON.exists(), "the Python SDK (tests/clients/install)")
    with RedisServer(tmp_path / "redis") as redis:
        flags = ("--app", app, "--store", redis.url)
        servers = [Server(tmp_path, *flags) for _ in range(3)]
        servers.append(Server(tmp_path, *flags, "--workers", "2"))
        try:
            report, hurts = await shake(servers, 150, 0.7)
        finally:
            close(servers)
    check(report, 150)
    tell(hurts, report, tmp_path)
    assert hurts.count("SIGKILL") >= 2


async def test_one_process_on_sqlite_comes_and_goes_and_no_call_is_lost(tmp_path, app):
    need(PYTHON.exists(), "the Python SDK (tests/clients/install)")
    servers = [Server(tmp_path, "--app", app)]
    try:
        report, hurts = await shake(servers, 120, 1.5)
    finally:
        close(servers)
    check(report, 120)
    tell(hurts, report, tmp_path)
    assert hurts.count("SIGKILL") >= 1
