"""Three servers on one Redis, without any stickiness: A, B and C are one to their clients."""

import msgspec
import pytest
import trio

from mcpd import App, Context
from mcpd.sessions.stream_ids import read_event_id
from tests.in_process import META, HandshakeClient, modern, modern_headers, serving
from tests.mcp.everything import CAPABLE, TASKS, Capable
from tests.peer import parse_events
from tests.sessions.stores import fresh


class Confirm(msgspec.Struct):
    ok: bool


def make_app(name: str, runs: list[str]) -> App:  # noqa: C901 - one function a tool
    app = App("shared")

    @app.tool
    async def who() -> str:
        return name

    @app.tool(idempotent=True)
    async def count(ctx: Context, to: int = 5, pause: float = 0.05) -> str:
        runs.append(name)
        for number in range(to):
            await ctx.report_progress(number + 1, to)
            await trio.sleep(pause)
        return f"counted by {name}"

    @app.tool
    async def confirm(ctx: Context) -> str:
        answer = await ctx.elicit("go on?", Confirm)
        return f"{answer.action} by {name}"

    @app.tool(idempotent=True)
    async def confirm_then_count(ctx: Context, pause: float = 0.3) -> str:
        runs.append(name)
        answer = await ctx.elicit("go on?", Confirm)
        for number in range(3):
            await ctx.report_progress(number + 1, 3)
            await trio.sleep(pause)
        return f"{answer.action} by {name}"

    @app.tool(task="optional")
    async def long(ctx: Context) -> str:
        answer = await ctx.elicit("go on?", Confirm)
        return f"{answer.action} by {name}"

    @app.tool
    async def risky(ctx: Context) -> str:
        runs.append(name)
        await ctx.report_progress(1, 2)
        await trio.sleep(60)
        return "never"

    @app.resource("note://a")
    async def note() -> str:
        return "a"

    @app.tool
    async def write() -> str:
        app.resource_updated("note://a")
        return "written"

    return app


class Cluster:
    def __init__(self, servers, scopes, runs):
        self.servers = servers
        self.scopes = scopes
        self.runs = runs

    def __getitem__(self, place):
        return self.servers[place]

    async def die(self, place):
        """The process is gone, with everything that ran in it and its connection to Redis."""
        self.scopes[place].cancel()
        await trio.sleep(0.05)


@pytest.fixture
async def cluster(tmp_path, redis, nursery):
    url, runs, scopes = fresh(redis), [], []

    async def run(name, scope, *, task_status):
        with scope:
            async with serving(tmp_path, [make_app(name, runs)], store=url) as server:
                task_status.started(server)
                await trio.sleep_forever()

    servers = []
    for name in "ABC":
        scopes.append(trio.CancelScope())
        servers.append(await nursery.start(run, name, scopes[-1]))
    yield Cluster(servers, scopes, runs)
    for scope in scopes:
        scope.cancel()


class Client(Capable):
    """A client whose requests go to a server of the test's choice."""

    def at(self, server):
        self.server = server
        self.peer = server.user(self.user)
        return self


async def opened(server, **more):
    client = Client(server, **more)
    await client.open()
    return client


async def start(client, server, name, arguments=None, request_id="call"):
    peer = server.user(client.user)
    params = {"name": name, "arguments": arguments or {}, "_meta": {"progressToken": "p"}}
    message = {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}
    await peer.begin("POST", "/mcp/", json=message, headers=client.headers)
    await peer.head()
    return peer


async def read_until(peer, wanted, events=None):
    """Events until one that ``wanted`` accepts; it is the last of them."""
    found, text = events if events is not None else [], b""
    with trio.fail_after(15):
        while True:
            piece = await peer.piece()
            assert piece is not None, found
            text += piece
            *blocks, text = text.split(b"\n\n")
            for block in blocks:
                found += parse_events(block + b"\n\n")
                if found and wanted(found[-1]):
                    return found


def is_answer(event):
    return '"result"' in event.get("data", "") or '"error"' in event.get("data", "")


def asks(event):
    return "elicitation/create" in event.get("data", "")


async def resume(client, server, event_id):
    peer = server.user(client.user)
    await peer.begin("GET", "/mcp/", headers=[*client.headers, ("last-event-id", event_id)])
    assert (await peer.head()).status_code == 200
    return peer


async def reply_ok(client, server, event):
    asked = msgspec.json.decode(event["data"])
    result = {"action": "accept", "content": {"ok": True}}
    message = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
    return await server.user(client.user).request(
        "POST", "/mcp/", json=message, headers=client.headers
    )


# --- sessions --------------------------------------------------------------------------------


async def test_a_session_is_known_everywhere_and_ends_everywhere(cluster):
    client = await opened(cluster[0])
    for server in cluster.servers:
        reply = await client.at(server).call("tools/call", {"name": "who"})
        assert reply.status == 200
    deleted = await cluster[1].user().request("DELETE", "/mcp/", headers=client.headers)
    assert deleted.status == 204
    await trio.sleep(0.05)
    for server in cluster.servers:
        assert (await client.at(server).call("ping")).status == 404


async def test_what_a_session_set_on_one_server_holds_on_the_others(cluster):
    client = await opened(cluster[0])
    await client.call("logging/setLevel", {"level": "error"})
    for server in cluster.servers:
        session = await server.server.runtime.sessions.find(client.id)
        assert (session.revision, session.log_level) == ("2025-11-25", "error")
        assert session.subject == "alice"
    await client.at(cluster[2]).call("logging/setLevel", {"level": "debug"})
    await trio.sleep(0.05)
    assert (await cluster[0].server.runtime.sessions.find(client.id)).log_level == "debug"


async def test_another_user_is_kept_out_everywhere(cluster):
    client = await opened(cluster[0])
    stranger = HandshakeClient(cluster[1].user("mallory"))
    stranger.id, stranger.version = client.id, client.version
    assert (await stranger.call("ping")).status == 404


# --- one call over three servers -------------------------------------------------------------


async def test_get_on_a_post_on_b_answer_on_c(cluster):
    a, b, c = cluster.servers
    client = await opened(a)
    listening = a.user()
    await listening.begin("GET", "/mcp/", headers=client.headers)
    assert (await listening.head()).status_code == 200
    peer = await start(client, b, "confirm")
    events = await read_until(peer, asks)
    assert (await reply_ok(client, c, events[-1])).status == 202
    events = await read_until(peer, is_answer)
    assert "accept by B" in events[-1]["data"]


async def test_a_call_is_cancelled_from_another_server(cluster):
    client = await opened(cluster[0])
    peer = await start(client, cluster[1], "count", {"to": 1000})
    await read_until(peer, lambda event: "progress" in event.get("data", ""))
    notice = {"requestId": "call"}
    accepted = await client.at(cluster[2]).notify("notifications/cancelled", notice)
    assert accepted.status == 202
    with trio.fail_after(30):
        while await peer.piece() is not None:
            pass


async def test_resuming_elsewhere_gives_every_message_once_and_in_order(cluster):
    """The call goes on at A; its connection moves to B while it runs, and then to C."""
    client = await opened(cluster[0])
    peer = await start(client, cluster[0], "count", {"to": 40, "pause": 0.02})
    events = await read_until(peer, lambda event: '"progress":7' in event.get("data", ""))
    await peer.stream.aclose()
    peer = await resume(client, cluster[1], events[-1]["id"])
    await read_until(peer, lambda event: '"progress":20' in event.get("data", ""), events)
    await peer.stream.aclose()
    await trio.sleep(0.2)
    peer = await resume(client, cluster[2], events[-1]["id"])
    await read_until(peer, is_answer, events)
    numbers = [read_event_id(event["id"])[1] for event in events]
    assert numbers == list(range(42))  # primed with 0, 40 messages, the answer
    assert "counted by A" in events[-1]["data"]
    assert cluster.runs == ["A"]


async def test_a_newer_connection_elsewhere_takes_the_stream_over(cluster):
    client = await opened(cluster[0])
    old = await start(client, cluster[0], "count", {"to": 30, "pause": 0.02})
    events = await read_until(old, lambda event: '"progress":3' in event.get("data", ""))
    new = await resume(client, cluster[1], events[-1]["id"])
    await read_until(new, is_answer)
    with trio.fail_after(30):
        seen = b""
        while (piece := await old.piece()) is not None:
            seen += piece
    assert b"counted" not in seen  # the answer went out once


async def listen(client, server):
    peer = server.user(client.user)
    await peer.begin("GET", "/mcp/", headers=client.headers)
    assert (await peer.head()).status_code == 200
    await trio.sleep(0.1)
    return peer


async def silent(peer):
    """Nothing but comments comes for a while."""
    with trio.move_on_after(0.3):
        while (piece := await peer.piece()) is not None:
            assert b"data:" not in piece


def updated(event):
    return "resources/updated" in event.get("data", "")


@pytest.mark.parametrize("dies", [False, True])
async def test_a_message_goes_out_on_the_newest_of_several_streams(cluster, monkeypatch, dies):
    monkeypatch.setattr("mcpd.mcp.streams.reader.LOOK_AT_LEASE_S", 0.2)
    a, b, c = cluster.servers
    client = await opened(c)
    assert (await client.call("resources/subscribe", {"uri": "note://a"})).status == 200
    older, newer = await listen(client, a), await listen(client, b)
    assert (await client.at(c).call("tools/call", {"name": "write"})).status == 200
    await read_until(newer, updated)
    await silent(older)
    if dies:
        await cluster.die(1)
    else:
        await newer.stream.aclose()
    await trio.sleep(0.5)
    assert (await client.at(c).call("tools/call", {"name": "write"})).status == 200
    await read_until(older, updated)
    if dies:  # nobody knows whether it sent the first one on
        await read_until(older, updated)
    await silent(older)


# --- processes that end ----------------------------------------------------------------------


async def test_a_call_that_may_run_twice_goes_on_in_another_process(cluster):
    client = await opened(cluster[0])
    peer = await start(client, cluster[0], "count", {"to": 10})
    events = await read_until(peer, lambda event: '"progress":4' in event.get("data", ""))
    await cluster.die(0)
    peer = await resume(client, cluster[1], events[-1]["id"])
    await read_until(peer, is_answer, events)
    assert "counted by B" in events[-1]["data"]
    assert cluster.runs == ["A", "B"]
    progress = [
        msgspec.json.decode(event["data"])["params"]["progress"]
        for event in events
        if "progress" in event.get("data", "")
    ]
    assert progress == sorted(set(progress))  # the second run does not count anew


async def test_a_call_that_its_living_process_gave_up_goes_on_elsewhere(cluster):
    client = await opened(cluster[0])
    peer = await start(client, cluster[0], "count", {"to": 40})
    events = await read_until(peer, lambda event: '"progress":4' in event.get("data", ""))
    stream_id = read_event_id(events[-1]["id"])[0]
    writer = cluster[0].server.runtime.streams._writers[client.id, stream_id]
    await peer.stream.aclose()  # else A would go on itself, for the connection that reads there
    with trio.fail_after(30):
        while writer.readers.names:
            await trio.sleep(0.01)
    writer.give_up()
    peer = await resume(client, cluster[1], events[-1]["id"])
    await read_until(peer, is_answer, events)
    assert "counted by B" in events[-1]["data"]


async def test_what_was_answered_to_a_process_that_died_is_not_asked_again(cluster):
    client = await opened(cluster[0])
    peer = await start(client, cluster[0], "confirm_then_count")
    events = await read_until(peer, asks)
    assert (await reply_ok(client, cluster[2], events[-1])).status == 202
    await read_until(peer, lambda event: '"progress":1' in event.get("data", ""), events)
    await cluster.die(0)
    peer = await resume(client, cluster[1], events[-1]["id"])
    await read_until(peer, is_answer, events)
    assert "accept by B" in events[-1]["data"]
    assert len([event for event in events if asks(event)]) == 1


async def test_a_question_that_was_open_is_answered_to_the_next_process(cluster):
    client = await opened(cluster[0])
    peer = await start(client, cluster[0], "confirm_then_count", {"pause": 0.01})
    events = await read_until(peer, asks)
    await cluster.die(0)
    peer = await resume(client, cluster[1], events[-1]["id"])
    assert (await reply_ok(client, cluster[2], events[-1])).status == 202
    await read_until(peer, is_answer, events)
    assert "accept by B" in events[-1]["data"]
    assert len([event for event in events if asks(event)]) == 1


async def test_a_call_that_may_have_done_something_is_not_run_again(cluster):
    client = await opened(cluster[0])
    peer = await start(client, cluster[0], "risky")
    events = await read_until(peer, lambda event: "progress" in event.get("data", ""))
    await cluster.die(0)
    peer = await resume(client, cluster[1], events[-1]["id"])
    await read_until(peer, is_answer, events)
    result = msgspec.json.decode(events[-1]["data"])["result"]
    assert result["isError"] is True
    assert "not known how far it got" in result["content"][0]["text"]
    assert cluster.runs == ["A"]


async def test_a_process_that_lost_its_call_says_nothing_more(cluster):
    """Fencing: A is cut off from Redis, B goes on with its call, A comes back."""
    client = await opened(cluster[0])
    peer = await start(client, cluster[0], "count", {"to": 20, "pause": 0.1})
    events = await read_until(peer, lambda event: '"progress":2' in event.get("data", ""))
    stream_id = read_event_id(events[-1]["id"])[0]
    taken = cluster[1].server.backend.ownership
    taken._redis.up_since = 0.0
    key = taken._keys.stream(client.id, stream_id)[0]
    await taken._redis.call("HSET", key, "owner", "gone")
    assert await taken.claim(client.id, stream_id) is not None
    with trio.fail_after(30):
        rest = b""
        while (piece := await peer.piece()) is not None:
            rest += piece
            if cluster[0].server.runtime.streams._writers.get((client.id, stream_id)) is None:
                break
    assert b"counted" not in rest


# --- changes ---------------------------------------------------------------------------------


async def test_a_change_on_one_server_reaches_a_session_that_listens_on_another(cluster):
    client = await opened(cluster[0])
    await client.at(cluster[1]).call("resources/subscribe", {"uri": "note://a"})
    listening = cluster[2].user()
    await listening.begin("GET", "/mcp/", headers=client.headers)
    await listening.head()
    await client.at(cluster[0]).call("tools/call", {"name": "write"})
    events = await read_until(listening, lambda event: "updated" in event.get("data", ""))
    await listening.stream.aclose()
    await client.at(cluster[1]).call("tools/call", {"name": "write"})  # while nobody listens
    await trio.sleep(0.1)
    again = await resume(client, cluster[0], events[-1]["id"])
    more = await read_until(again, lambda event: "updated" in event.get("data", ""))
    assert read_event_id(more[-1]["id"])[1] > read_event_id(events[-1]["id"])[1]


async def test_a_change_reaches_modern_listeners_everywhere(cluster):
    peer = cluster[2].user()
    params = {"notifications": {"resourceSubscriptions": ["note://a"]}, "_meta": META}
    message = {"jsonrpc": "2.0", "id": 9, "method": "subscriptions/listen", "params": params}
    headers = modern_headers("subscriptions/listen")
    await peer.begin("POST", "/mcp/", json=message, headers=headers)
    await peer.head()
    await read_until(peer, lambda event: "acknowledged" in event.get("data", ""))
    await modern(cluster[0].user(), "tools/call", {"name": "write"})
    events = await read_until(peer, lambda event: "updated" in event.get("data", ""))
    assert '"uri":"note://a"' in events[-1]["data"]


async def test_http_sse_works_over_two_servers(cluster):
    down = cluster[0].user()
    await down.begin("GET", "/sse")
    await down.head()
    events = await read_until(down, lambda event: event.get("event") == "endpoint")
    target = events[-1]["data"]
    params = {
        "protocolVersion": "2025-06-18",
        "capabilities": CAPABLE,
        "clientInfo": {"name": "old", "version": "1"},
    }
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    posted = await cluster[1].user().request("POST", target, json=hello)
    assert posted.status == 202
    await read_until(down, is_answer)
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "confirm"}}
    assert (await cluster[1].user().request("POST", target, json=call)).status == 202
    events = await read_until(down, asks)
    asked = msgspec.json.decode(events[-1]["data"])
    result = {"action": "accept", "content": {"ok": True}}
    reply = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
    assert (await cluster[2].user().request("POST", target, json=reply)).status == 202
    events = await read_until(down, is_answer)
    assert "accept by B" in events[-1]["data"]


# --- what it costs ---------------------------------------------------------------------------


async def test_round_trips_to_redis(cluster):
    """None for a stateless call; one for the first call in a session, then none, from the cache.

    A server also goes to Redis for itself, now and then: so the least of several counts.
    """
    server = cluster[1]
    link = server.server.backend.store._redis
    client = None

    async def cost(job) -> int:
        before = link.round_trips
        assert (await job()).status == 200
        return link.round_trips - before

    async def stateless():
        return await modern(server.user(), "tools/call", {"name": "who"})

    async def in_session():
        return await client.at(server).call("tools/call", {"name": "who"})

    assert min([await cost(stateless) for _ in range(5)]) == 0
    first = []
    for _ in range(5):
        client = await opened(cluster[0])
        first.append(await cost(in_session))
    assert min(first) == 1
    assert min([await cost(in_session) for _ in range(5)]) == 0


# --- tasks -----------------------------------------------------------------------------------


async def task_request(server, method, params, user="alice"):
    meta = {"io.modelcontextprotocol/clientCapabilities": {**CAPABLE, **TASKS}}
    params = {**params, "_meta": {**META, **meta}}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = modern_headers(method, params.get("taskId", params.get("name")))
    reply = await server.user(user).request("POST", "/mcp/", json=message, headers=headers)
    return reply.json()


async def until(server, task_id, *statuses):
    with trio.fail_after(15):
        while True:
            found = (await task_request(server, "tasks/get", {"taskId": task_id}))["result"]
            if found["status"] in statuses:
                return found
            await trio.sleep(0.02)


async def test_a_task_is_seen_answered_and_cancelled_from_any_server(cluster):
    a, b, c = cluster.servers
    created = (await task_request(a, "tools/call", {"name": "long"}))["result"]
    task_id = created["taskId"]
    waiting = await until(b, task_id, "input_required")
    (key,) = waiting["inputRequests"]
    answer = {key: {"action": "accept", "content": {"ok": True}}}
    params = {"taskId": task_id, "inputResponses": answer}
    assert "result" in await task_request(c, "tasks/update", params)
    done = await until(b, task_id, "completed")
    assert done["result"]["content"][0]["text"] == "accept by A"
    other = (await task_request(a, "tools/call", {"name": "long"}))["result"]["taskId"]
    await until(b, other, "input_required")
    await task_request(b, "tasks/cancel", {"taskId": other})
    await until(a, other, "cancelled")
    await until(c, other, "cancelled")
    refused = await task_request(b, "tasks/get", {"taskId": task_id}, user="mallory")
    assert refused["error"]["code"] == -32602


async def test_a_task_whose_process_died_has_failed(cluster):
    created = (await task_request(cluster[0], "tools/call", {"name": "long"}))["result"]
    await until(cluster[1], created["taskId"], "input_required")
    await cluster.die(0)
    link = cluster[1].server.backend.store._redis  # the sign of life would last some seconds more
    process = cluster[0].server.backend.process
    await link.call("DEL", f"{link.address.prefix}:p:{process}")
    failed = await until(cluster[1], created["taskId"], "failed")
    assert "process that ran this task ended" in failed["error"]["message"]


async def test_tasks_of_2025_11_25_over_three_servers(cluster):
    client = await opened(cluster[0])
    created = await client.tool("long", task={})
    task_id = {"taskId": created["result"]["task"]["taskId"]}
    listed = (await client.at(cluster[1]).call("tasks/list")).json()["result"]["tasks"]
    assert [task["taskId"] for task in listed] == [task_id["taskId"]]
    result = await client.at(cluster[2]).converse("tasks/result", task_id)
    assert result["result"]["content"][0]["text"] == "accept by A"
    (asked,) = client.asked
    assert asked["params"]["_meta"]["io.modelcontextprotocol/related-task"] == task_id
