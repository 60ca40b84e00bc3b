"""manage_task: each user's own list, durable."""

import pytest

from tests.in_process import HandshakeClient, modern, serving


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path) as server:
        yield server


async def do(server, user="alice", **arguments):
    reply = await modern(
        server.user(user), "tools/call", {"name": "manage_task", "arguments": arguments}
    )
    assert reply.status == 200, reply
    result = reply.json()["result"]
    return result["content"][0]["text"] if result["isError"] else result["structuredContent"]


async def test_the_life_of_a_task(server):
    created = await do(server, action="create", title="Buy milk", tags=["shop"], priority="high")
    task = created["task"]
    assert (task["status"], task["priority"], task["tags"]) == ("pending", "high", ["shop"])
    task_id = task["id"]
    assert (await do(server, action="get", task_id=task_id))["task"] == task
    updated = await do(server, action="update", task_id=task_id, title="Buy oat milk", due="today")
    assert (updated["task"]["title"], updated["task"]["due"]) == ("Buy oat milk", "today")
    done = await do(server, action="complete", task_id=task_id)
    assert done["task"]["status"] == "completed"
    assert done["task"]["completed_at"]
    again = await do(server, action="update", task_id=task_id, status="pending")
    assert "completed_at" not in again["task"]
    assert (await do(server, action="delete", task_id=task_id))["task"]["id"] == task_id
    assert "no task" in await do(server, action="get", task_id=task_id)


async def test_filters_pages_and_search(server):
    for number in range(7):
        await do(
            server,
            action="create",
            title=f"Task {number}",
            description="100% sure" if number == 3 else "",
            priority="low" if number % 2 else "high",
            tags=["odd"] if number % 2 else [],
        )
    everything = await do(server, action="list")
    assert (everything["total"], len(everything["tasks"])) == (7, 7)
    page = await do(server, action="list", limit=3)
    assert (page["total"], page["next_offset"]) == (7, 3)
    last = await do(server, action="list", limit=3, offset=6)
    assert ([t["title"] for t in last["tasks"]], "next_offset" in last) == (["Task 6"], False)
    assert (await do(server, action="list", priority="low"))["total"] == 3
    assert (await do(server, action="list", tag="odd"))["total"] == 3
    assert (await do(server, action="list", status="completed"))["total"] == 0
    assert (await do(server, action="search", query="task 3"))["total"] == 1
    assert (await do(server, action="search", query="100%"))["total"] == 1
    assert (await do(server, action="search", query="%"))["total"] == 1
    assert (await do(server, action="search", query="_"))["total"] == 0
    assert (await do(server, action="search", query="ODD"))["total"] == 3


async def test_a_second_user_never_sees_the_first_ones_tasks(server):
    task_id = (await do(server, action="create", title="Mine"))["task"]["id"]
    assert (await do(server, "bob", action="list"))["total"] == 0
    assert (await do(server, "bob", action="search", query="Mine"))["total"] == 0
    for action in ("get", "update", "complete", "delete"):
        assert "no task" in await do(server, "bob", action=action, task_id=task_id, title="x")
    assert (await do(server, action="get", task_id=task_id))["task"]["title"] == "Mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "The argument action is missing; expected one of"),
        ({"action": "explode"}, 'expected one of "complete", "create"'),
        ({"action": "create"}, "needs the argument title"),
        ({"action": "create", "title": ""}, "The argument title is wrong"),
        ({"action": "create", "titel": "x"}, "Did you mean title?"),
        ({"action": "get"}, "needs the argument task_id"),
        ({"action": "update", "task_id": "x"}, "needs something to change"),
        ({"action": "search"}, "needs the argument query"),
        ({"action": "list", "limit": 0}, "The argument limit is wrong"),
        ({"action": "list", "limit": "5"}, "got a string; expected an integer at least 1"),
    ],
)
async def test_wrong_arguments_say_what_was_expected(server, arguments, words):
    assert words in await do(server, **arguments)


async def test_tasks_survive_a_restart_and_both_eras_see_them(tmp_path):
    async with serving(tmp_path) as server:
        await do(server, action="create", title="Durable")
    async with serving(tmp_path) as server:
        session = HandshakeClient(server.user("alice"), "2024-11-05")
        await session.open()
        reply = await session.call(
            "tools/call", {"name": "manage_task", "arguments": {"action": "list"}}
        )
        assert "Durable" in reply.json()["result"]["content"][0]["text"]


async def test_users_of_two_issuers_with_one_name_have_lists_of_their_own(server):
    async def titles(issuer):
        peer = server.connect(token=server.token("alice", issuer=issuer))
        params = {"name": "manage_task", "arguments": {"action": "list"}}
        result = (await modern(peer, "tools/call", params)).json()["result"]
        return [task["title"] for task in result["structuredContent"]["tasks"]]

    peer = server.connect(token=server.token("alice", issuer="https://a.example"))
    given = {"action": "create", "title": "of a"}
    await modern(peer, "tools/call", {"name": "manage_task", "arguments": given})
    assert await titles("https://a.example") == ["of a"]
    assert await titles("https://b.example") == []
    assert await titles(None) == []
