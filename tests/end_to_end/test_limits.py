"""Limits of users with real processes: over workers, over restarts, and over every dodge."""

import pytest
import trio

from tests.end_to_end.daemon import Daemon
from tests.in_process import HandshakeClient, modern
from tests.sessions.stores import fresh

pytestmark = pytest.mark.slow
APP = """
from mcpd import App
app = App("limited")

@app.tool
def ping() -> str:
    return "pong"
"""
LIMIT = 200


@pytest.fixture
def files(tmp_path):
    (tmp_path / "limited.py").write_text(APP)
    config = tmp_path / "mcpd.toml"
    config.write_text(f"[limits]\ncalls_per_day = {LIMIT}\n")
    return ["--config", str(config), "--app", f"{tmp_path}/limited.py:app", "--port", "0"]


async def calls(daemon: Daemon, token: str, number: int) -> list[int]:
    """Statuses of so many calls, over ten connections, which the workers share."""
    statuses: list[int] = []

    async def some(count: int) -> None:
        peer = await daemon.connect(token=token)
        async with peer.stream:
            for _ in range(count):
                reply = await modern(peer, "tools/call", {"name": "ping"})
                statuses.append(reply.status)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(some, number // 10)
    return statuses


@pytest.mark.parametrize("store", ["redis", "sqlite"])
async def test_a_limit_holds_over_two_workers_and_over_their_death(tmp_path, files, store, request):
    """To five in a hundred, whichever worker is asked and whatever becomes of it."""
    flags = ["--workers", "2"]
    if store == "redis":
        flags += ["--store", fresh(request.getfixturevalue("redis"))]
    else:
        flags += ["--no-handshake"]
    with Daemon(tmp_path / "s", *files, *flags) as daemon:
        token = daemon.token()
        first = await calls(daemon, token, 100)
        assert first == [200] * 100
    # The block killed it: no worker could give anything back.
    with Daemon(tmp_path / "s", *files, *flags) as daemon:
        later = await calls(daemon, token, 250)
        through = 100 + later.count(200)
        assert LIMIT * 0.95 <= through <= LIMIT
        assert later.count(429) == 250 - later.count(200)
        assert await daemon.status(token) == 200  # lists are no calls
        assert (await calls(daemon, daemon.token(sub="bob"), 10)) == [200] * 10


async def test_no_user_gets_around_a_limit(tmp_path, files):
    """Not with many sessions, not by registering again, not with another token of the same user."""
    with Daemon(tmp_path / "s", *files) as daemon:
        assert (await calls(daemon, daemon.token(), LIMIT)).count(200) == LIMIT
        await refused(daemon, daemon.token(), [])
        await refused(daemon, daemon.token(ttl="2h"), [])
        peer = await daemon.connect()
        async with peer.stream:
            body = {"client_info": {"name": "again", "version": "1"}}
            registered = (await peer.request("POST", "/register", json=body)).json()
            session = [("mcp-session-id", registered["session_id"])]
            await refused(daemon, daemon.token(), session)
            assert (await peer.request("GET", "/health")).status == 200


async def refused(daemon: Daemon, token: str, session: list[tuple[str, str]]) -> None:
    client = HandshakeClient(await daemon.connect(token=token))
    async with client.peer.stream:
        await client.open(headers=session)
        reply = await client.call("tools/call", {"name": "ping"})
    assert reply.status == 429
    error = reply.json()["error"]
    assert error["data"]["limit"] == "calls_per_day"
    assert int(reply.headers["retry-after"]) == error["data"]["retry_after_s"]
    assert reply.headers["ratelimit-policy"] == f'"calls_per_day";q={LIMIT};w=86400'
