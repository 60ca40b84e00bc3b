"""Resuming a call's stream, polling, and tasks."""

import msgspec
import pytest
import trio
import trio.testing

from mcpd import App, Context
from mcpd.errors import DeclarationError
from mcpd.mcp.streams.hub import StreamHub
from mcpd.mcp.streams.reader import End
from mcpd.mcp.streams.writer import StreamLost, WriterState
from mcpd.mcp.tasks.record import MOVES, Status
from mcpd.sessions.backend import Backend
from mcpd.sessions.memory.answers import MemoryAnswers
from mcpd.sessions.memory.events import MemoryEvents
from mcpd.sessions.memory.kept import KeptSessions
from mcpd.sessions.memory.store import MemoryStore
from mcpd.sessions.memory.watches import MemoryWatches
from mcpd.sessions.record import SessionId
from mcpd.sessions.stream_ids import new_stream_id
from mcpd.sessions.streams import MAX_EVENTS, SESSION_STREAM, KeptCall
from tests.in_process import META, modern, modern_headers, serving
from tests.mcp.everything import ANSWERS, CAPABLE, TASKS, Capable, everything
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


S = SessionId("s")


def hub() -> StreamHub:
    """Over a log that knows every session."""
    kept = KeptSessions()
    events = MemoryEvents(kept)
    watches = MemoryWatches(kept, events)
    return StreamHub(Backend(MemoryStore(), events, MemoryAnswers(kept), watches))


def call(stream_id: str = "c") -> KeptCall:
    return KeptCall(S, stream_id, b"{}", "alice")


async def test_the_oldest_messages_of_a_stream_go_first():
    streams = hub()
    writer = streams.write(call())
    for number in range(MAX_EVENTS + 50):
        await writer.send(b"%d" % number)
    with streams.read(S, "c", 0) as reader:
        first = await reader.next()
    assert first is not None
    assert first.number == 51


async def test_a_call_that_sends_nothing_first_leaves_no_trace():
    streams = hub()
    writer = streams.write(call())
    await writer.finish(b"answer")
    assert (writer.state, writer.plain_answer) == (WriterState.PLAIN, b"answer")
    assert writer.settled.is_set()
    assert await streams.events.read(S, "c", 0) is None


async def test_a_reader_gets_what_was_and_what_comes_and_the_end():
    streams = hub()
    writer = streams.write(call())
    await writer.send(b"1")
    with streams.read(S, "c", 0) as reader:
        assert (await reader.next()).data == b"1"  # type: ignore[union-attr]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.finish, b"2")
            assert (await reader.next()).data == b"2"  # type: ignore[union-attr]
        assert await reader.next() is None
        assert reader.end is End.FINISHED
    with streams.read(S, "c", 1) as late:
        assert (await late.next()).data == b"2"  # type: ignore[union-attr]


async def test_a_message_whose_sending_was_cancelled_does_not_lend_its_number_to_the_next(
    monkeypatch,
):
    """The log keeps a message at once and says so later, as one far away does."""
    streams = hub()
    log, append = streams.events, streams.events.append

    async def append_slowly(*args, **options):
        kept = await append(*args, **options)
        await trio.sleep(0.05)
        return kept

    monkeypatch.setattr(log, "append", append_slowly)
    writer = streams.write(call())
    await writer.send(b"1")
    with trio.move_on_after(0.01):
        await writer.send(b"2, perhaps")
    await writer.finish(b"3")
    page = await log.read(S, "c", 0)
    assert page is not None
    assert [(event.number, event.data) for event in page.events] == [
        (1, b"1"),
        (2, b"2, perhaps"),
        (3, b"3"),
    ]
    assert page.finished


async def test_a_stream_that_another_process_took_is_not_written_any_more():
    streams = hub()
    log = streams.events
    writer = streams.write(call())
    await writer.send(b"1")
    log.forget(S)
    with pytest.raises(StreamLost):
        await writer.send(b"2")
    assert writer.state is WriterState.LOST


# --- tasks -----------------------------------------------------------------------------------


def test_terminal_is_final():
    terminal = {Status.COMPLETED, Status.FAILED, Status.CANCELLED}
    for status, moves in MOVES.items():
        assert (not moves) is (status in terminal)


async def tasks(server, method, params, user="alice"):
    meta = {"io.modelcontextprotocol/clientCapabilities": {**CAPABLE, **TASKS}}
    params = {**params, "_meta": {**META, **meta}}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    name = params.get("taskId", params.get("name"))
    headers = modern_headers(method, name)
    return (await server.user(user).request("POST", "/mcp/", json=message, headers=headers)).json()


async def until(server, task_id, *statuses):
    with trio.fail_after(10):
        while True:
            found = (await tasks(server, "tasks/get", {"taskId": task_id}))["result"]
            if found["status"] in statuses:
                return found
            await trio.sleep(0.02)


async def test_a_task_of_the_extension(server):
    params = {"name": "slow_compute", "arguments": {"seconds": 0.2, "label": "x"}}
    created = (await tasks(server, "tools/call", params))["result"]
    assert created["resultType"] == "task"
    found = await until(server, created["taskId"], "completed")
    assert found["result"]["content"][0]["text"] == "computed x"
    assert found["resultType"] == "complete"
    cancelled = await tasks(server, "tasks/cancel", {"taskId": created["taskId"]})
    assert cancelled["result"]["resultType"] == "complete"  # acknowledged; it stays completed
    assert (await until(server, created["taskId"], "completed"))["status"] == "completed"


async def test_a_task_belongs_to_its_principal(server):
    params = {"name": "slow_compute", "arguments": {"seconds": 5}}
    task_id = (await tasks(server, "tools/call", params))["result"]["taskId"]
    for method in ("tasks/get", "tasks/cancel", "tasks/update"):
        refused = await tasks(server, method, {"taskId": task_id}, user="mallory")
        assert refused["error"]["code"] == -32602
    await tasks(server, "tasks/cancel", {"taskId": task_id})
    assert (await until(server, task_id, "cancelled"))["status"] == "cancelled"


async def test_a_task_asks_through_itself(server):
    created = (await tasks(server, "tools/call", {"name": "confirm_delete"}))["result"]
    task_id = created["taskId"]
    waiting = await until(server, task_id, "input_required")
    (key,) = waiting["inputRequests"]
    wrong = {"taskId": task_id, "inputResponses": {key: {"action": "no"}}}
    assert (await tasks(server, "tasks/update", wrong))["error"]["code"] == -32602
    right = {key: ANSWERS["elicitation/create"], "never": {}}
    await tasks(server, "tasks/update", {"taskId": task_id, "inputResponses": right})
    found = await until(server, task_id, "completed")
    assert found["result"]["content"][0]["text"] == "Deleted file.txt"


@pytest.mark.parametrize(
    ("tool", "told"), [("ask_nonsense", "no form"), ("say_nonsense", "surrogates not allowed")]
)
async def test_what_a_task_cannot_say_fails_in_its_tool(tmp_path, tool, told):
    app = App("odd")

    class Widget:
        """No form can be made of it."""

    @app.tool(task="optional")
    async def ask_nonsense(ctx: Context) -> str:
        try:
            await ctx.elicit("?", Widget)
        except DeclarationError:
            return "no form"
        return "asked"

    @app.tool(task="optional")
    async def say_nonsense(ctx: Context) -> str:
        try:
            await ctx.report_progress(1, message="\ud800")
        except UnicodeEncodeError as error:
            return error.reason
        return "said"

    async with serving(tmp_path, [app]) as server:
        created = (await tasks(server, "tools/call", {"name": tool}))["result"]
        done = await until(server, created["taskId"], "completed", "failed")
        assert done["result"]["content"][0]["text"] == told


async def test_tasks_without_the_extension(server):
    meta = {"io.modelcontextprotocol/clientCapabilities": {"tasks": {}}}  # the old capability
    plain = await modern(server.user(), "tools/call", {"name": "failing_job"}, meta=meta)
    error = plain.json()["error"]
    assert (plain.status, error["code"]) == (400, -32021)
    assert error["data"]["requiredCapabilities"] == TASKS
    params = {"name": "slow_compute", "arguments": {"seconds": 0}}
    done = (await modern(server.user(), "tools/call", params)).messages()[-1]["result"]
    assert done["content"][0]["text"] == "computed"


async def test_experimental_tasks_of_2025_11_25(server):
    session = Capable(server)
    await session.open()
    created = await session.tool("slow_compute", {"seconds": 0.2}, task={"ttl": 60_000})
    task = created["result"]["task"]
    assert (task["status"], task["ttl"]) == ("working", 60_000)
    task_id = {"taskId": task["taskId"]}
    result = await session.converse("tasks/result", task_id)
    assert result["result"]["content"][0]["text"] == "computed"
    related = result["result"]["_meta"]["io.modelcontextprotocol/related-task"]
    assert related == task_id
    assert (await session.call("tasks/get", task_id)).json()["result"]["status"] == "completed"
    again = (await session.call("tasks/cancel", task_id)).json()
    assert again["error"]["code"] == -32602
    listed = (await session.call("tasks/list")).json()["result"]["tasks"]
    assert [found["taskId"] for found in listed] == [task["taskId"]]
    stranger = Capable(server, user="mallory")
    await stranger.open()
    assert (await stranger.call("tasks/list")).json()["result"]["tasks"] == []
    assert (await stranger.call("tasks/get", task_id)).json()["error"]["code"] == -32602


async def test_a_task_of_2025_11_25_asks_on_the_stream_of_its_result(server):
    session = Capable(server)
    await session.open()
    created = await session.tool("confirm_delete", {"filename": "x"}, task={})
    task_id = {"taskId": created["result"]["task"]["taskId"]}
    result = await session.converse("tasks/result", task_id)
    assert result["result"]["content"][0]["text"] == "Deleted x"
    (asked,) = session.asked
    assert asked["params"]["_meta"]["io.modelcontextprotocol/related-task"] == task_id


async def test_task_support_is_minded(server):
    session = Capable(server)
    await session.open()
    assert (await session.tool("greet", task={}))["error"]["code"] == -32601
    assert (await session.tool("failing_job"))["error"]["code"] == -32601
    failed = await session.tool("failing_job", task={})
    task_id = {"taskId": failed["result"]["task"]["taskId"]}
    outcome = await session.converse("tasks/result", task_id)
    assert outcome["result"]["isError"] is True
    old = Capable(server, "2025-06-18")
    await old.open()
    assert "content" in (await old.tool("greet", task={}))["result"]  # no tasks there: ignored
    assert (await old.call("tasks/get", task_id)).json()["error"]["code"] == -32601


async def test_an_older_reader_of_a_call_ends_and_of_a_session_waits():
    streams = hub()
    log = streams.events
    await streams.write(call()).send(b"x")
    old, new = streams.read(S, "c", 0), streams.read(S, "c", 0)
    assert await old.next() is None
    assert old.end is End.OVERTAKEN
    assert (await new.next()).data == b"x"  # type: ignore[union-attr]
    first, second = (streams.read(S, SESSION_STREAM, 0) for _ in range(2))

    async def put(data: bytes) -> None:
        await log.put(S, data)
        streams.session_grew(S)

    await put(b"y")
    assert (await second.next()).data == b"y"  # type: ignore[union-attr]
    with trio.move_on_after(0.05) as scope:
        await first.next()
    assert scope.cancelled_caught
    second.__exit__()
    await put(b"z")
    found = await first.next()
    assert found is not None
    assert found.data == b"z"  # y went out on the other stream, and never goes out twice


async def test_a_disconnect_ends_the_connection_and_not_the_stream():
    streams = hub()
    writer = streams.write(call())
    await writer.send(b"1")
    with streams.read(S, "c", 1) as reader:
        streams.disconnect_calls(500)
        assert await reader.next() is None
        assert (reader.end, reader.readers.retry_ms) == (End.DISCONNECTED, 500)
    await writer.finish(b"2")
    with streams.read(S, "c", 1) as again:
        assert (await again.next()).data == b"2"  # type: ignore[union-attr]


async def test_a_refused_question_of_a_task_reaches_its_tool(server, monkeypatch):
    session = Capable(server)
    await session.open()
    monkeypatch.setitem(ANSWERS, "elicitation/create", {"action": "nonsense"})
    created = await session.tool("confirm_delete", {"filename": "x"}, task={})
    task_id = {"taskId": created["result"]["task"]["taskId"]}
    outcome = await session.converse("tasks/result", task_id)
    assert outcome["result"]["isError"] is True
    assert (await session.call("tasks/get", task_id)).json()["result"]["status"] == "failed"
