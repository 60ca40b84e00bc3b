"""Calls go on while the store cannot be written, as far as they can."""

import pytest
import trio

from mcpd.app.app import App
from mcpd.app.context import Context
from mcpd.mcp.streams.writer import CallWriter
from tests.in_process import HandshakeClient, modern, serving
from tests.mcp.everything import TASKS
from tests.peer import parse_events


def make_app(go: trio.Event, seen: list[str]) -> App:
    app = App("demo")

    @app.tool
    async def work(ctx: Context, early: bool = False) -> str:
        """Says something on the way."""
        if early:
            await ctx.report_progress(1)
        await go.wait()
        await ctx.report_progress(2)
        return "done"

    @app.tool(task="optional")
    async def slow() -> str:
        """May be a task."""
        try:
            await trio.sleep_forever()
        finally:
            seen.append("cancelled")
        return ""

    return app


@pytest.fixture
async def server(tmp_path):
    go, seen = trio.Event(), []
    async with serving(tmp_path, [make_app(go, seen)], store="sqlite") as server:
        server.go, server.seen = go, seen
        yield server


async def writable(server, *, yes: bool) -> None:
    database = server.server.runtime.sessions.store.database
    await database.read(lambda db: db.execute(f"PRAGMA query_only = {int(not yes)}").fetchall())


def message(*, early: bool) -> dict[str, object]:
    params = {"name": "work", "arguments": {"early": early}, "_meta": {"progressToken": 1}}
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}


async def test_a_connected_client_gets_its_answer_though_it_cannot_be_kept(server):
    client = HandshakeClient(server.user())
    await client.open()
    peer = server.user()
    await peer.begin("POST", "/mcp/", json=message(early=True), headers=client.headers)
    await peer.head()
    events = []
    while len(events) < 2:  # primed, and the first progress
        events += parse_events(await peer.piece() or b"")
    await writable(server, yes=False)
    server.go.set()
    while piece := await peer.piece():
        events += parse_events(piece)
    assert "done" in events[-1]["data"]


async def test_a_call_that_cannot_have_a_stream_is_answered_without_one(server, monkeypatch):
    tried, open_stream = trio.Event(), CallWriter.open

    async def open_and_tell(writer: CallWriter) -> None:
        try:
            await open_stream(writer)
        finally:
            tried.set()

    monkeypatch.setattr(CallWriter, "open", open_and_tell)
    monkeypatch.setattr("mcpd.mcp.transports.event_streams.OPEN_AFTER_S", 0.01)
    client = HandshakeClient(server.user())
    await client.open()
    await writable(server, yes=False)
    peer = server.user()
    await peer.begin("POST", "/mcp/", json=message(early=False), headers=client.headers)
    await tried.wait()  # it was silent for longer than a call may be without a stream
    server.go.set()
    reply = await peer.reply()
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["result"]["content"][0]["text"] == "done"


async def test_a_task_that_cannot_be_kept_does_not_run_on(server):
    await writable(server, yes=False)
    meta = {"io.modelcontextprotocol/clientCapabilities": TASKS}
    refused = await modern(server.user(), "tools/call", {"name": "slow"}, meta=meta)
    assert (refused.status, refused.headers["retry-after"]) == (503, "2")
    with trio.fail_after(10):
        while not server.seen:
            await trio.sleep(0.01)
    assert server.server.runtime.limits.caps.tasks.total == 0
