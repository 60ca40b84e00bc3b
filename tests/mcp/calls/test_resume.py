"""Calls of the handshake era over HTTP: broken connections, resuming, polling."""

import msgspec
import pytest
import trio
import trio.testing

from mcpd.sessions.record import SessionId
from mcpd.sessions.stream_ids import new_stream_id
from tests.mcp.everything import Capable, everything
from tests.peer import parse_events


@pytest.fixture
async def server(tmp_path):
    async with everything(tmp_path) as server:
        yield server


async def begin(server, session, name, arguments=None, **meta):
    peer = server.user()
    params = {"name": name, "arguments": arguments or {}, "_meta": meta}
    message = {"jsonrpc": "2.0", "id": "call", "method": "tools/call", "params": params}
    await peer.begin("POST", "/mcp/", json=message, headers=session.headers)
    await peer.head()
    return peer


async def rest(server, session, event_id):
    peer = server.user()
    reply = await peer.request(
        "GET", "/mcp/", headers=[*session.headers, ("last-event-id", event_id)]
    )
    return reply.events()


async def test_a_broken_stream_is_resumed_with_every_missed_message_once(server):
    session = Capable(server)
    await session.open()
    arguments = {"seconds": 0.6, "key": "k"}
    peer = await begin(server, session, "test_slow", arguments, progressToken="p")
    events = parse_events(await peer.piece() or b"")
    while len(events) < 3:
        events += parse_events(await peer.piece() or b"")
    assert events[0]["data"] == ""  # primed: 2025-11-25
    await peer.stream.aclose()
    found = await rest(server, session, events[-1]["id"])
    numbers = [int(event["id"].rpartition(".")[2]) for event in [*events, *found]]
    assert numbers == list(range(len(numbers)))
    assert msgspec.json.decode(found[-1]["data"])["id"] == "call"
    assert (await rest(server, session, found[-1]["id"])) == []
    stranger = Capable(server)
    await stranger.open()
    headers = [*stranger.headers, ("last-event-id", events[0]["id"])]
    other = server.user()
    await other.begin("GET", "/mcp/", headers=headers)
    await other.head()
    with trio.move_on_after(0.3) as scope:
        await other.piece()
    assert scope.cancelled_caught  # nothing of another session's is replayed


async def test_a_plain_answer_leaves_no_trace_in_the_log(server, monkeypatch):
    log = server.server.runtime.streams.events
    used = []
    for name in ("begin", "append", "mark_unread"):
        monkeypatch.setattr(log, name, lambda *_, name=name, **__: used.append(name))
    session = Capable(server)
    await session.open()
    reply = await session.call(
        "tools/call", {"name": "test_slow_status", "arguments": {"key": "k"}}
    )
    assert reply.status == 200
    await trio.sleep(0.1)
    assert used == []


async def test_an_answer_that_nobody_got_waits_for_its_client(server, monkeypatch):
    """However many other calls its session makes meanwhile."""
    monkeypatch.setattr("mcpd.sessions.memory.events.MAX_FINISHED", 3)
    session = Capable(server)
    await session.open()
    arguments = {"seconds": 0.1, "key": "k"}
    peer = await begin(server, session, "test_slow", arguments, progressToken="p")
    (first, *_) = parse_events(await peer.piece() or b"")
    await peer.stream.aclose()
    for _ in range(5):
        other = await begin(server, session, "test_slow", arguments, progressToken="p")
        while await other.piece() is not None:
            pass
    found = await rest(server, session, first["id"])
    assert msgspec.json.decode(found[-1]["data"])["id"] == "call"
    assert "result" in msgspec.json.decode(found[-1]["data"])


@pytest.mark.parametrize(
    ("version", "ids", "primed"),
    [("2024-11-05", False, False), ("2025-06-18", True, False), ("2025-11-25", True, True)],
)
async def test_event_ids_where_they_exist(server, version, ids, primed):
    session = Capable(server, version)
    await session.open()
    peer = await begin(server, session, "test_tool_with_progress", progressToken=0)
    text = b""
    while (piece := await peer.piece()) is not None:
        text += piece
    events = parse_events(text)
    assert all(("id" in event) is ids for event in events)
    assert (events[0].get("data") == "") is primed


async def test_polling_lets_the_connection_go(server):
    session = Capable(server)
    await session.open()
    peer = await begin(server, session, "test_reconnection")
    text = b""
    while (piece := await peer.piece()) is not None:
        text += piece
    assert b"retry: 500" in text
    primed = parse_events(text)[0]
    assert primed["data"] == ""
    found = await rest(server, session, primed["id"])
    assert "completed successfully" in found[-1]["data"]


async def test_a_lost_call_is_told_to_the_client_and_to_nobody_else(server):
    session = Capable(server)
    await session.open()
    lost = new_stream_id(SessionId(session.id), b'"call"')
    found = await rest(server, session, f"{lost}.3")
    answer = msgspec.json.decode(found[-1]["data"])
    assert (answer["id"], answer["error"]["code"]) == ("call", -32603)
    foreign = new_stream_id(SessionId("another"), b'"call"')
    peer = server.user()
    headers = [*session.headers, ("last-event-id", f"{foreign}.3")]
    await peer.begin("GET", "/mcp/", headers=headers)
    await peer.head()
    with trio.move_on_after(0.3) as scope:
        await peer.piece()
    assert scope.cancelled_caught
