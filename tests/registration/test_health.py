"""What /health says, and how little it costs."""

import pytest

from mcpd.errors import StoreError
from tests.in_process import HandshakeClient, serving


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path, store="sqlite") as server:
        yield server


async def health(server):
    return (await server.connect().request("GET", "/health")).json()


async def test_health_looks_at_the_store_once_in_a_while_and_counts_nothing(server, monkeypatch):
    store, looks = server.server.runtime.sessions.store, []
    check = store.check

    async def counted() -> str:
        looks.append(1)
        return await check()

    async def count() -> None:
        raise AssertionError("all rows are counted")

    monkeypatch.setattr(store, "check", counted)
    monkeypatch.setattr(store, "count", count)
    monkeypatch.setattr("mcpd.operations.health.LOOK_EVERY_S", 3600.0)
    for _ in range(20):
        assert (await health(server))["status"] == "ok"
    assert len(looks) == 1


async def test_a_store_that_is_full_is_told_and_calls_without_it_go_on(server, monkeypatch):
    monkeypatch.setattr("mcpd.operations.health.LOOK_EVERY_S", 0.0)
    database = server.server.runtime.sessions.store.database
    client = HandshakeClient(server.user())
    await client.open()
    await database.read(lambda db: db.execute("PRAGMA query_only = 1").fetchall())
    with pytest.raises(AssertionError, match="status=503"):
        await HandshakeClient(server.user()).open()
    assert (await health(server))["store"] == {"kind": "sqlite", "state": "read_only"}
    assert (await health(server))["status"] == "degraded"
    assert (await client.call("tools/list")).status == 200
    await database.read(lambda db: db.execute("PRAGMA query_only = 0").fetchall())
    await HandshakeClient(server.user()).open()
    assert (await health(server))["status"] == "ok"


async def test_a_store_that_cannot_be_read_is_unavailable(server, monkeypatch):
    async def check() -> str:
        raise StoreError("away")

    monkeypatch.setattr(server.server.runtime.sessions.store, "check", check)
    assert (await health(server))["store"]["state"] == "unavailable"


async def test_live_and_ready_differ_where_a_restart_would_not_help(server, monkeypatch):
    async def ask(path: str) -> tuple[int, object]:
        reply = await server.connect().request("GET", path)
        return reply.status, reply.json()

    monkeypatch.setattr("mcpd.operations.health.LOOK_EVERY_S", 0.0)
    assert await ask("/health/live") == (200, {"status": "ok"})
    assert await ask("/health/ready") == (200, {"status": "ok", "missing": []})

    async def check() -> str:
        raise StoreError("away")

    monkeypatch.setattr(server.server.runtime.sessions.store, "check", check)
    server.server.state.ready = False
    told = {"status": "not ready", "missing": ["draining", "store unavailable"]}
    assert await ask("/health/ready") == (503, told)
    assert await ask("/health/live") == (200, {"status": "ok"})
    assert (await server.connect().request("HEAD", "/health/ready")).status == 503
