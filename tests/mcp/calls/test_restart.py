"""One server on SQLite that ends and begins again: nothing to set up, nothing to notice."""

import msgspec
import pytest
import trio

from tests.in_process import serving
from tests.mcp.calls.test_several_processes import (
    Client,
    asks,
    is_answer,
    make_app,
    read_until,
    reply_ok,
    resume,
    start,
    task_request,
    until,
)


class Restarting:
    """A server that can be ended as if it were killed, and begun again."""

    def __init__(self, tmp_path, nursery, runs):
        self.tmp_path = tmp_path
        self.nursery = nursery
        self.runs = runs
        self.name = "A"

    async def begin(self):
        self.scope, self.over = trio.CancelScope(), trio.Event()
        return await self.nursery.start(self._run, make_app(self.name, self.runs))

    async def _run(self, app, *, task_status):
        with self.scope:
            async with serving(self.tmp_path, [app], store="sqlite") as server:
                task_status.started(server)
                await trio.sleep_forever()
        self.over.set()

    async def again(self):
        """Everything of the old process is gone; its file is there."""
        self.scope.cancel()
        await self.over.wait()
        self.name = chr(ord(self.name) + 1)
        return await self.begin()


@pytest.fixture
async def restarting(tmp_path, nursery):
    found = Restarting(tmp_path, nursery, [])
    yield found
    found.scope.cancel()


async def test_a_session_goes_on_as_if_nothing_had_happened(restarting):
    client = Client(await restarting.begin())
    await client.open()
    await client.call("logging/setLevel", {"level": "error"})
    await client.call("resources/subscribe", {"uri": "note://a"})
    server = await restarting.again()
    reply = await client.at(server).call("tools/call", {"name": "who"})
    assert reply.json()["result"]["content"][0]["text"] == "B"
    session = await server.server.runtime.sessions.find(client.id)
    assert (session.revision, session.log_level, session.subject) == (
        "2025-11-25",
        "error",
        "alice",
    )
    assert session.subscriptions == ["note://a"]
    assert b"elicitation" in bytes(session.capabilities)
    await client.call("tools/call", {"name": "write"})  # before it listens again
    listening = await resume(client, server, "session.0")
    events = await read_until(listening, lambda event: "updated" in event.get("data", ""))
    assert '"note://a"' in events[-1]["data"]


async def test_a_call_goes_on_in_the_next_process(restarting):
    client = Client(await restarting.begin())
    await client.open()
    peer = await start(client, client.server, "confirm_then_count")
    events = await read_until(peer, asks)
    assert (await reply_ok(client, client.server, events[-1])).status == 202
    await read_until(peer, lambda event: '"progress":1' in event.get("data", ""), events)
    server = await restarting.again()
    peer = await resume(client, server, events[-1]["id"])
    await read_until(peer, is_answer, events)
    assert "accept by B" in events[-1]["data"]
    assert len([event for event in events if asks(event)]) == 1
    numbers = [int(event["id"].rpartition(".")[2]) for event in events]
    assert numbers == sorted(set(numbers))


async def test_a_call_that_may_have_done_something_is_told_to_be_interrupted(restarting):
    client = Client(await restarting.begin())
    await client.open()
    peer = await start(client, client.server, "risky")
    events = await read_until(peer, lambda event: "progress" in event.get("data", ""))
    server = await restarting.again()
    peer = await resume(client, server, events[-1]["id"])
    await read_until(peer, is_answer, events)
    assert msgspec.json.decode(events[-1]["data"])["result"]["isError"] is True
    assert restarting.runs == ["A"]


async def test_a_call_that_was_done_is_answered_from_the_log(restarting):
    client = Client(await restarting.begin())
    await client.open()
    peer = await start(client, client.server, "count", {"to": 3, "pause": 0.01})
    events = await read_until(peer, is_answer)
    server = await restarting.again()
    again = await read_until(await resume(client, server, events[0]["id"]), is_answer)
    assert again == events[1:]
    assert restarting.runs == ["A"]


async def test_tasks_that_were_done_stay_and_those_that_ran_have_failed(restarting):
    server = await restarting.begin()
    ids = [
        (await task_request(server, "tools/call", {"name": "long"}))["result"]["taskId"]
        for _ in range(2)
    ]
    (key,) = (await until(server, ids[0], "input_required"))["inputRequests"]
    answer = {key: {"action": "accept", "content": {"ok": True}}}
    await task_request(server, "tasks/update", {"taskId": ids[0], "inputResponses": answer})
    await until(server, ids[0], "completed")
    await trio.sleep(0.1)  # until that is written
    server = await restarting.again()
    done = await until(server, ids[0], "completed")
    assert done["result"]["content"][0]["text"] == "accept by A"
    failed = await until(server, ids[1], "failed")
    assert "process that ran this task ended" in failed["error"]["message"]
