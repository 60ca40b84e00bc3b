"""A Redis without memory: who is connected gets answers, and the rest is told what is wrong."""

from contextlib import contextmanager

import pytest
import trio

from tests.in_process import BOTH, serving
from tests.mcp.calls.test_several_processes import (
    Client,
    is_answer,
    make_app,
    read_until,
    resume,
    start,
)
from tests.redis_server import RedisServer
from tests.sessions.stores import fresh


@contextmanager
def full(server: RedisServer):
    server.cli("CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        server.cli("CONFIG", "SET", "maxmemory", "0")


@pytest.fixture
async def pair(tmp_path, redis):
    url = fresh(redis)
    async with (
        serving(tmp_path, [make_app("A", [])], store=url) as a,
        serving(tmp_path, [make_app("B", [])], store=url) as b,
    ):
        yield a, b


async def opened(server):
    client = Client(server)
    await client.open()
    return client


async def test_a_finished_answer_reaches_a_client_that_is_connected(pair, redis):
    a, b = pair
    client = await opened(a)
    peer = await start(client, a, "count", {"to": 5, "pause": 0.1})
    events = await read_until(peer, lambda event: '"progress":1' in event.get("data", ""))
    kept = events[-1]["id"]
    with full(redis):
        events = await read_until(peer, is_answer)
        assert "counted by A" in events[-1]["data"]
    # with memory again, what became of the call is kept: a client that did not get it can ask
    other = await resume(client, b, kept)
    assert "counted by A" in (await read_until(other, is_answer))[-1]["data"]


async def test_a_call_that_begins_then_is_answered_plainly(pair, redis):
    a, _ = pair
    client = await opened(a)
    await client.call("ping")
    with full(redis):
        params = {"name": "count", "arguments": {"to": 3}, "_meta": {"progressToken": "p"}}
        message = {"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": params}
        with trio.fail_after(15):
            reply = await a.user().request("POST", "/mcp/", json=message, headers=client.headers)
        assert reply.status == 200
        assert "counted by A" in reply.json()["result"]["content"][0]["text"]


async def test_a_slow_call_that_begins_then_is_answered_plainly(pair, redis, monkeypatch):
    monkeypatch.setattr("mcpd.mcp.transports.event_streams.OPEN_AFTER_S", 0.05)
    a, _ = pair
    client = await opened(a)
    await client.call("ping")
    with full(redis):
        with trio.fail_after(15):
            reply = await client.call(
                "tools/call", {"name": "count", "arguments": {"to": 3, "pause": 0.1}}
            )
        assert "counted by A" in reply.json()["result"]["content"][0]["text"]


async def test_a_new_session_is_refused_and_health_says_why(pair, redis, monkeypatch):
    monkeypatch.setattr("mcpd.operations.health.LOOK_EVERY_S", 0.0)
    a, _ = pair
    health = (await a.user().request("GET", "/health")).json()
    assert health["status"] == "ok"
    assert "reason" not in health["store"]
    with full(redis):
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"}}}  # fmt: skip
        reply = await a.user().request("POST", "/mcp/", json=message, headers=[BOTH])
        assert reply.status == 503
        assert "Redis is out of memory" in reply.json()["error"]["message"]
        health = (await a.user().request("GET", "/health")).json()
        assert health["status"] == "degraded"
        assert health["store"]["state"] == "full"
        assert health["store"]["reason"] == "Redis is out of memory"
    await opened(a)
    assert (await a.user().request("GET", "/health")).json()["status"] == "ok"
