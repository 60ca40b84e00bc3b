"""Tasks of both eras."""

import msgspec
import pytest
import trio
import trio.testing

from mcpd import App, Context
from mcpd.errors import DeclarationError
from mcpd.mcp.tasks.task import MOVES, Status
from tests.in_process import META, modern, modern_headers, serving
from tests.mcp.everything import ANSWERS, CAPABLE, TASKS, Capable, everything
from tests.peer import parse_events


@pytest.fixture
async def server(tmp_path):
    async with everything(tmp_path) as server:
        yield server


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
    with trio.fail_after(30):
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


async def test_a_refused_question_of_a_task_reaches_its_tool(server, monkeypatch):
    session = Capable(server)
    await session.open()
    monkeypatch.setitem(ANSWERS, "elicitation/create", {"action": "nonsense"})
    created = await session.tool("confirm_delete", {"filename": "x"}, task={})
    task_id = {"taskId": created["result"]["task"]["taskId"]}
    outcome = await session.converse("tasks/result", task_id)
    assert outcome["result"]["isError"] is True
    assert (await session.call("tasks/get", task_id)).json()["result"]["status"] == "failed"


async def test_a_task_that_asks_the_same_twice_is_not_given_the_old_answer(tmp_path):
    """The process that served ``tasks/result`` is lost between the questions; the task goes on."""
    app, answers = App("asking"), []

    @app.tool(task="required")
    async def twice(ctx: Context) -> str:
        form = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
        first = await ctx.elicit("Delete the next file?", form)
        answers.append(first.content)
        second = await ctx.elicit("Delete the next file?", form)
        answers.append(second.content)
        return "done"

    async with serving(tmp_path, [app], store="sqlite") as server:
        session = Capable(server)
        await session.open()
        created = await session.tool("twice", task={})
        params = {"taskId": created["result"]["task"]["taskId"]}
        message = {"jsonrpc": "2.0", "id": "r", "method": "tasks/result", "params": params}
        peer = server.user()
        await peer.begin("POST", "/mcp/", json=message, headers=session.headers)
        await peer.head()
        asked = [await question(peer)]
        accepted = {"action": "accept", "content": {"ok": True}}
        answer = {"jsonrpc": "2.0", "id": asked[0][0]["id"], "result": accepted}
        await session.peer.request("POST", "/mcp/", json=answer, headers=session.headers)
        asked.append(await question(peer))
        for writer in list(server.server.runtime.streams._writers.values()):
            writer.give_up()
        await peer.stream.aclose()
        back = server.user()
        headers = [*session.headers, ("last-event-id", asked[1][1])]
        await back.begin("GET", "/mcp/", headers=headers)
        await back.head()
        again, _ = await question(back)
    assert again["id"] not in {message["id"] for message, _ in asked}
    assert answers == [{"ok": True}]


async def question(peer):
    """The next question on a stream, and the id of its event."""
    with trio.fail_after(30):
        while True:
            for event in parse_events(await peer.piece() or b""):
                if "elicitation/create" in event.get("data", ""):
                    return msgspec.json.decode(event["data"]), event["id"]
