"""Redis is killed under load and comes back: only what needs it fails meanwhile.

    TEST_OUTAGE_S=10 pytest -s tests/end_to_end/test_redis_away.py

prints the figures of ten seconds.
"""

import os
from collections import Counter
from functools import partial

import pytest
import trio

from mcpd.http.sse import HEARTBEAT
from tests.end_to_end.daemon import Daemon
from tests.in_process import HandshakeClient, modern
from tests.peer import Peer, parse_events
from tests.redis_server import RedisServer

pytestmark = pytest.mark.slow
OUTAGE_S = float(os.environ.get("TEST_OUTAGE_S", "2"))
BACK_S = 5.0  # for everything to go on, once Redis is there

APP = """
import trio
from mcpd import App, Context
app = App("steady")

@app.tool
async def add(a: int, b: int) -> int:
    return a + b

@app.tool
async def tick(times: int, ctx: Context) -> str:
    for number in range(times):
        await ctx.report_progress(number + 1, times)
        await trio.sleep(0.1)
    return "ticked"
"""


class Load:
    """Clients that call without pause, and what became of each call: (kind, phase) → statuses."""

    def __init__(self, daemon: Daemon, token: str) -> None:
        self.daemon = daemon
        self.token = token
        self.phase = "before"
        self.seen: dict[tuple[str, str], Counter] = {}
        self.slowest: dict[tuple[str, str], float] = {}

    def note(self, kind: str, phase: str, status: int, seconds: float) -> None:
        key = (kind, phase)
        self.seen.setdefault(key, Counter())[status] += 1
        self.slowest[key] = max(seconds, self.slowest.get(key, 0.0))

    async def _repeat(self, kind: str, peer: Peer, call) -> None:
        async with peer.stream:
            await self._call_for_ever(kind, call)

    async def _call_for_ever(self, kind: str, call) -> None:
        while True:
            phase, began = self.phase, trio.current_time()
            reply = await call()
            if self.phase == phase:  # what spans two phases belongs to neither
                self.note(kind, phase, reply.status, trio.current_time() - began)
                if reply.status == 503:
                    assert reply.headers["retry-after"] == "2"
                    assert "store is away" in reply.json()["error"]["message"]
            await trio.sleep(0.002)

    async def stateless(self) -> None:
        peer = await self.daemon.connect(token=self.token)
        params = {"name": "add", "arguments": {"a": 1, "b": 2}}
        await self._repeat("stateless call", peer, lambda: modern(peer, "tools/call", params))

    async def session(self) -> None:
        session = HandshakeClient(await self.daemon.connect(token=self.token))
        await session.open()
        params = {"name": "add", "arguments": {"a": 1, "b": 2}}
        call = partial(session.call, "tools/call", params)
        await self._repeat("call in a session", session.peer, call)

    async def initialize(self) -> None:
        async def begin():
            session = HandshakeClient(peer)
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}
            return await session.call("initialize", params)

        peer = await self.daemon.connect(token=self.token)
        await self._repeat("initialize", peer, begin)


async def test_redis_goes_and_comes_back(tmp_path):
    app = tmp_path / "steady.py"
    app.write_text(APP)
    with RedisServer(tmp_path / "redis") as redis:
        flags = ("--port", "0", "--app", f"{app}:app", "--store", redis.url)
        with Daemon(tmp_path / "state", *flags) as daemon:
            await drive(daemon, redis)


async def drive(daemon: Daemon, redis: RedisServer) -> None:
    daemon.wait_for("listening on")
    token = daemon.token()
    load = Load(daemon, token)
    quiet = HandshakeClient(await daemon.connect(token=token))
    await quiet.open()
    listening = await daemon.connect(token=token)
    await listening.begin("GET", "/mcp/", headers=quiet.headers)
    await listening.head()
    health = await daemon.connect()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(load.stateless)
            nursery.start_soon(load.session)
        nursery.start_soon(load.initialize)
        await trio.sleep(0.5)
        times = int((OUTAGE_S + 3) / 0.1)
        ticking = await daemon.connect(token=token)
        message = {"jsonrpc": "2.0", "id": "t", "method": "tools/call",
                   "params": {"name": "tick", "arguments": {"times": times},
                              "_meta": {"progressToken": 1}}}  # fmt: skip
        await ticking.begin("POST", "/mcp/", json=message, headers=quiet.headers)
        await ticking.head()
        await trio.sleep(0.3)
        load.phase = "between"
        redis.kill()
        await trio.sleep(0.2)
        load.phase = "away"
        assert (await health.request("GET", "/health")).json()["status"] == "degraded"
        await trio.sleep(OUTAGE_S - 0.2)
        load.phase = "between"
        await trio.to_thread.run_sync(redis.start)
        with trio.fail_after(BACK_S):
            while (await health.request("GET", "/health")).json()["status"] != "ok":
                await trio.sleep(0.02)
        load.phase = "after"
        await trio.sleep(1.0)
        events = parse_events(await rest_of(ticking))
        nursery.cancel_scope.cancel()
    report(load)
    for phase in ("before", "after"):
        for kind in ("stateless call", "call in a session", "initialize"):
            assert set(load.seen[kind, phase]) == {200}, (kind, phase)
    assert set(load.seen["stateless call", "away"]) == {200}
    assert set(load.seen["call in a session", "away"]) == {503}
    assert set(load.seen["initialize", "away"]) == {503}
    numbers = [event["id"].rpartition(".")[2] for event in events]
    assert numbers == [str(number) for number in range(times + 2)]  # nothing lost, in order
    assert "ticked" in events[-1]["data"]
    with trio.move_on_after(0.2) as open_still:  # the stream that was open all the time
        while (piece := await listening.piece()) is not None:
            assert piece == HEARTBEAT
    assert open_still.cancelled_caught
    for peer in (listening, ticking, health, quiet.peer):
        await trio.aclose_forcefully(peer.stream)


async def rest_of(peer) -> bytes:
    text = b""
    with trio.fail_after(OUTAGE_S + 30):
        while (piece := await peer.piece()) is not None:
            text += piece
    return text


def report(load: Load) -> None:
    print(f"\nRedis away for {OUTAGE_S:g} s:")
    for (kind, phase), statuses in sorted(load.seen.items()):
        slowest = load.slowest[kind, phase] * 1000
        print(f"  {kind:18} {phase:8} {dict(statuses)}, slowest {slowest:.0f} ms")
