"""The handshake era: initialize, sessions, tools, streams."""

import sys

import pytest
import trio

from mcpd import App, Context
from mcpd.errors import StoreError
from tests.in_process import BOTH, HandshakeClient, modern, serving
from tests.mcp.demo_app import make_app

VERSIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path, [make_app()]) as server:
        yield server


async def open_session(server, version="2025-11-25", user="alice") -> HandshakeClient:
    session = HandshakeClient(server.user(user), version)
    await session.open()
    return session


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_spoken_version_is_answered_with_itself(server, version):
    """MCP, lifecycle, "Version Negotiation" """
    result = await HandshakeClient(server.user(), version).open()
    assert result["protocolVersion"] == version
    assert result["capabilities"] == {"logging": {}, "tools": {"listChanged": True}}
    assert result["serverInfo"]["name"] == "demo"
    assert ("title" in result["serverInfo"]) is (version >= "2025-06-18")
    assert ("icons" in result["serverInfo"]) is (version >= "2025-11-25")
    assert result["instructions"] == "Be kind."


@pytest.mark.parametrize("version", ["2026-07-28", "2027-01-01", "1.0", ""])
async def test_any_other_version_is_offered_our_newest_handshake(server, version):
    assert (await HandshakeClient(server.user(), version).open())["protocolVersion"] == "2025-11-25"


async def test_a_registered_client_keeps_its_id(server):
    peer = server.user()
    registered = (await peer.request("POST", "/register", json={})).json()["session_id"]
    session = HandshakeClient(peer)
    await session.open(headers=[("mcp-session-id", registered)])
    assert session.id == registered
    assert (await session.call("tools/list")).status == 200


async def test_tools_in_the_words_of_each_revision(server):
    listed = {}
    for version in VERSIONS:
        session = await open_session(server, version)
        tools = (await session.call("tools/list")).json()["result"]["tools"]
        listed[version] = {tool["name"]: tool for tool in tools}
        assert [tool["name"] for tool in tools][:3] == ["add", "shout", "count"]
    members = {version: set(tools["add"]) for version, tools in listed.items()}
    base = {"name", "description", "inputSchema"}
    assert members["2024-11-05"] == base
    assert members["2025-03-26"] == base | {"annotations"}
    assert members["2025-06-18"] == base | {"annotations", "title", "outputSchema", "_meta"}
    assert members["2025-11-25"] == members["2025-06-18"] | {"icons"}
    assert listed["2025-06-18"]["add"]["outputSchema"] == {
        "type": "object",
        "properties": {"result": {"type": "integer"}},
        "required": ["result"],
    }
    assert "outputSchema" not in listed["2025-11-25"]["shout"]


async def call(session: HandshakeClient, name: str, arguments=None, **more):
    reply = await session.call("tools/call", {"name": name, "arguments": arguments or {}, **more})
    assert reply.status == 200, reply
    return reply.messages()[-1]


async def test_results_have_what_the_revision_has(server):
    session = await open_session(server)
    assert (await call(session, "add", {"a": 1, "b": 2}))["result"] == {
        "content": [{"type": "text", "text": "3"}],
        "structuredContent": {"result": 3},
        "isError": False,
    }
    assert (await call(session, "shout", {"text": "x"}))["result"]["content"][0]["text"] == "X"
    full = (await call(session, "full"))["result"]
    assert (full["structuredContent"], full["_meta"]) == ({"n": 1}, {"m": 2})
    old = await open_session(server, "2024-11-05")
    assert (await call(old, "add", {"a": 1, "b": 2}))["result"] == {
        "content": [{"type": "text", "text": "3"}],
        "isError": False,
    }


async def test_content_that_a_revision_does_not_have_becomes_text(server):
    kinds = {}
    for version in VERSIONS:
        session = await open_session(server, version)
        content = (await call(session, "rich"))["result"]["content"]
        kinds[version] = [item["type"] for item in content]
    assert kinds["2024-11-05"] == ["text", "text", "text"]
    assert kinds["2025-03-26"] == ["text", "audio", "text"]
    assert kinds["2025-06-18"] == ["text", "audio", "resource_link"]


async def test_wrong_arguments_name_the_argument(server):
    """2025-11-25: isError; before: -32602"""
    new = await open_session(server, "2025-11-25")
    result = (await call(new, "add", {"a": "x", "b": 2}))["result"]
    assert result["isError"] is True
    assert result["content"][0]["text"] == (
        "The argument a is wrong: got a string; expected an integer."
    )
    old = await open_session(server, "2025-06-18")
    assert (await call(old, "add", {"a": 1}))["error"] == {
        "code": -32602,
        "message": "The argument b is missing; expected an integer.",
    }


async def test_unknown_tools_and_methods_are_errors_with_status_200(server):
    """404 would tell the client that its session is gone"""
    session = await open_session(server)
    assert (await call(session, "nope"))["error"]["code"] == -32602
    for method, code in (("nope", -32601), ("server/discover", -32601), ("tools/call", -32602)):
        reply = await session.call(method)
        assert (reply.status, reply.json()["error"]["code"]) == (200, code)
    reply = await session.call("tools/list", {"cursor": "page-99"})
    assert reply.json()["error"]["code"] == -32602


async def test_failures_of_tools_are_results_without_internals(server, caplog):
    session = await open_session(server)
    said = (await call(session, "fail", {"how": "said"}))["result"]
    assert (said["isError"], said["content"][0]["text"]) == (True, "The door is locked.")
    grouped = (await call(session, "fail", {"how": "grouped"}))["result"]
    assert grouped["content"][0]["text"] == "Refused in a nursery."
    for name, arguments in (("fail", {"how": "bug"}), ("liar", {})):
        broken = (await call(session, name, arguments))["result"]
        text = broken["content"][0]["text"]
        assert broken["isError"] is True
        assert "hunter2" not in text
        assert "log" in text
    assert "hunter2" in caplog.text


async def test_long_lists_come_in_pages(tmp_path):
    async with serving(tmp_path, [make_app()], page_size=4) as server:
        session = await open_session(server)
        names, cursor = [], None
        for _ in range(10):
            params = {} if cursor is None else {"cursor": cursor}
            result = (await session.call("tools/list", params)).json()["result"]
            names += [tool["name"] for tool in result["tools"]]
            cursor = result.get("nextCursor")
            if cursor is None:
                break
        assert names == list(make_app().tools)


async def test_progress_is_streamed_to_its_caller(server):
    session = await open_session(server)
    for token in ("t", 0, ""):
        reply = await session.call(
            "tools/call",
            {"name": "count", "arguments": {"to": 3}, "_meta": {"progressToken": token}},
        )
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.headers["x-accel-buffering"] == "no"
        *progress, last = reply.messages()
        assert [m["params"]["progress"] for m in progress] == [1, 2, 3]
        assert all(m["params"]["progressToken"] == token for m in progress)
        assert progress[0]["params"]["message"] == "step 0"
        assert last["result"]["content"][0]["text"] == "counted"
    silent = await session.call("tools/call", {"name": "count", "arguments": {"to": 1}})
    assert silent.headers["content-type"] == "application/json"


async def test_log_messages_follow_the_level(server):
    session = await open_session(server)

    async def levels() -> list[str]:
        reply = await session.call("tools/call", {"name": "chatter"})
        return [m["params"]["level"] for m in reply.messages() if "method" in m]

    assert await levels() == ["info", "warning", "error"]
    assert (await session.call("logging/setLevel", {"level": "error"})).json()["result"] == {}
    assert await levels() == ["error"]
    assert (await session.call("logging/setLevel", {"level": "debug"})).json()["result"] == {}
    assert len(await levels()) == 4
    wrong = await session.call("logging/setLevel", {"level": "loud"})
    assert wrong.json()["error"]["code"] == -32602


async def test_a_client_that_reads_only_json_or_only_events(server):
    session = await open_session(server)
    params = {"name": "count", "arguments": {"to": 1}, "_meta": {"progressToken": 1}}
    message = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params}
    for accept, kind in (
        ("application/json", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("nonsense", "text/event-stream"),
        ("*/*", "text/event-stream"),
    ):
        headers = [("accept", accept), *session.headers[1:]]
        reply = await session.peer.request("POST", "/mcp/", json=message, headers=headers)
        assert reply.headers["content-type"] == kind
        assert reply.messages()[-1]["result"]["content"][0]["text"] == "counted"


@pytest.mark.parametrize(
    "accept", ["text/html", "image/png, text/plain;q=0.5", "application/json;q=0, text/html"]
)
async def test_a_client_that_reads_neither_json_nor_events_is_told(server, accept):
    session = await open_session(server)
    message = {"jsonrpc": "2.0", "id": 9, "method": "ping"}
    headers = [("accept", accept), *session.headers[1:]]
    reply = await session.peer.request("POST", "/mcp/", json=message, headers=headers)
    assert reply.status == 406
    assert "application/json, text/event-stream" in reply.json()["error"]["message"]


async def test_a_cancelled_request_is_stopped_and_not_answered(server):
    """MCP, "Cancellation" """
    session = await open_session(server)
    await session.peer.begin(
        "POST",
        "/mcp/",
        json={"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {"name": "slow"}},
        headers=session.headers,
    )
    await trio.sleep(0.05)
    other = HandshakeClient(server.user(), session.version)
    other.id = session.id
    for wrong in (1, "b", None):  # unknown ones are ignored
        assert (await other.notify("notifications/cancelled", {"requestId": wrong})).status == 202
    assert (await other.notify("notifications/cancelled", {"requestId": "a"})).status == 202
    reply = await session.peer.reply()
    assert (reply.status, reply.body) == (200, b"")
    state = next(iter(server.server.catalog.states.values()))
    assert state["cancelled"] == ["k"]
    assert (await session.call("ping")).json()["result"] == {}


async def test_a_disconnect_does_not_cancel(server):
    """MCP 2025-03-26, transports: a disconnect is no cancellation"""
    session = await open_session(server)
    await session.peer.begin(
        "POST",
        "/mcp/",
        json={
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {
                "name": "count",
                "arguments": {"to": 5},
                "_meta": {"progressToken": 1},
            },
        },
        headers=session.headers,
    )
    await trio.sleep(0.1)
    await session.peer.stream.aclose()
    await trio.sleep(0.8)
    assert server.log[-1] == ("/mcp/", 200)


async def test_the_get_stream_opens_and_ends_with_its_session(server):
    session = await open_session(server)
    stream = server.user()
    await stream.begin("GET", "/mcp/", headers=session.headers)
    head = await stream.head()
    assert head.status_code == 200
    assert dict(head.headers)[b"content-type"] == b"text/event-stream"
    reply = await session.peer.request("DELETE", "/mcp/", headers=session.headers)
    assert reply.status == 204
    with trio.fail_after(30):
        assert await stream.piece() is None
    for method in ("POST", "GET", "DELETE"):
        body = {"jsonrpc": "2.0", "id": 1, "method": "ping"} if method == "POST" else None
        gone = await server.user().request(method, "/mcp/", json=body, headers=session.headers)
        assert gone.status == 404


async def test_get_without_a_session_is_405_and_the_connection_stays(server):
    peer = server.user()
    reply = await peer.request("GET", "/mcp/", headers=[("accept", "text/event-stream")])
    assert reply.status == 405
    assert "POST" in reply.headers["allow"]
    assert reply.headers.get("connection") != "close"
    assert (await peer.request("GET", "/health")).status == 200


async def test_a_missing_session_id_is_400_and_an_unknown_one_404_before_the_token(server):
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    missing = await server.user().request("POST", "/mcp/", json=ping, headers=[BOTH])
    assert (missing.status, missing.json()["id"]) == (400, 1)
    assert "Mcp-Session-Id" in missing.json()["error"]["message"]
    unknown = await server.connect().request(
        "POST", "/mcp/", json=ping, headers=[BOTH, ("mcp-session-id", "nope")]
    )
    assert unknown.status == 404


async def test_another_users_session_is_404_and_stays_whole(server):
    session = await open_session(server, user="alice")
    thief = HandshakeClient(server.user("mallory"), session.version)
    thief.id = session.id
    assert (await thief.call("tools/list")).status == 404
    assert (await thief.peer.request("DELETE", "/mcp/", headers=thief.headers)).status == 404
    assert (await session.call("tools/list")).status == 200


async def test_a_refreshed_token_keeps_the_session(server):
    session = await open_session(server)
    again = HandshakeClient(server.connect(token=server.token(ttl_s=7200)), session.version)
    again.id = session.id
    assert (await again.call("ping")).status == 200


async def test_an_unsupported_version_header_is_400(server):
    """MCP 2025-06-18, transports, "Protocol Version Header" """
    session = await open_session(server)
    session.version = "1999-01-01"
    reply = await session.call("ping")
    assert reply.status == 400
    assert "2025-11-25" in reply.json()["error"]["data"]["supported"]


async def test_a_missing_version_header_is_read_from_the_session(server):
    session = await open_session(server, "2024-11-05")
    headers = [BOTH, ("mcp-session-id", session.id)]
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    tools = (await session.peer.request("POST", "/mcp", json=message, headers=headers)).json()
    assert "annotations" not in tools["result"]["tools"][0]


async def test_ids_go_back_with_their_type(server):
    session = await open_session(server)
    for request_id in (0, "0", "", -1, 10**20):
        message = {"jsonrpc": "2.0", "id": request_id, "method": "ping"}
        reply = await session.peer.request("POST", "/mcp/", json=message, headers=session.headers)
        assert reply.json()["id"] == request_id
        assert type(reply.json()["id"]) is type(request_id)


async def test_batches_exist_in_2025_03_26_alone(server):
    """JSON-RPC 2.0, section 6"""
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    notice = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    start = {"jsonrpc": "2.0", "id": 2, "method": "initialize", "params": {}}
    batch = [ping, notice, 3, start, {**ping, "id": "x", "method": "nope"}]
    session = await open_session(server, "2025-03-26")
    answers = await session.peer.request("POST", "/mcp/", json=batch, headers=session.headers)
    codes = [a.get("error", {}).get("code") for a in answers.json()]
    assert codes == [None, -32600, -32600, -32601]
    quiet = await session.peer.request("POST", "/mcp/", json=[notice], headers=session.headers)
    assert (quiet.status, quiet.body) == (202, b"")
    for version in ("2024-11-05", "2025-06-18", "2025-11-25"):
        other = await open_session(server, version)
        reply = await other.peer.request("POST", "/mcp/", json=[ping], headers=other.headers)
        assert reply.status == 400
    modern = [*session.headers[:1], ("mcp-protocol-version", "2026-07-28")]
    reply = await session.peer.request("POST", "/mcp/", json=[ping], headers=modern)
    assert reply.status == 400
    assert reply.json()["error"]["message"].startswith("2026-07-28 has no batches")


async def test_bodies_that_are_no_message_are_400(server):
    session = await open_session(server)
    for body in (b"", b"{", b"[]", b"3", b'{"jsonrpc":"2.0","id":1}', b"[" * 9999):
        headers = [*session.headers, ("content-type", "application/json")]
        reply = await session.peer.request("POST", "/mcp/", body=body, headers=headers)
        assert reply.status == 400
        assert reply.json()["error"]["code"] in (-32700, -32600)
    text = await session.peer.request(
        "POST", "/mcp/", body=b"{}", headers=[*session.headers, ("content-type", "text/plain")]
    )
    assert text.status == 415


async def test_what_a_tool_may_know(server):
    session = await open_session(server)
    known = (await call(session, "who"))["result"]["structuredContent"]
    assert known == {
        "user": "alice",
        "session": session.id,
        "version": "2025-11-25",
        "client": "test",
    }


async def test_responses_of_the_client_are_taken(server):
    session = await open_session(server)
    message = {"jsonrpc": "2.0", "id": 5, "result": {}}
    reply = await session.peer.request("POST", "/mcp/", json=message, headers=session.headers)
    assert (reply.status, reply.body) == (202, b"")


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_a_version_header_that_is_not_spoken_is_400_everywhere(server, method):
    session = await open_session(server)
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"} if method == "POST" else None
    for version in ("bogus", "2027-01-01"):
        headers = [("mcp-session-id", session.id), ("mcp-protocol-version", version)]
        reply = await server.user().request(method, "/mcp/", json=body, headers=headers)
        assert reply.status == 400, reply
    assert (await session.call("ping")).status == 200


async def test_initialize_with_a_version_header_that_is_not_spoken(server):
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    headers = [BOTH, ("mcp-protocol-version", "bogus")]
    assert (
        await server.user().request("POST", "/mcp/", json=message, headers=headers)
    ).status == 400


async def test_capabilities_are_bounded(server):
    params = {"protocolVersion": "2025-11-25", "capabilities": {"x": "y" * 5000}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    reply = await server.user().request("POST", "/mcp/", json=message, headers=[BOTH])
    assert reply.json()["error"]["code"] == -32602


async def test_notifications_do_not_flood_and_progress_only_rises(tmp_path):
    """MCP, "Progress" and "Logging": rate limits; values increase"""
    app = App("x")

    @app.tool
    async def flood(ctx: Context) -> str:
        for number in range(5000):
            await ctx.report_progress(number, 4999)
            await ctx.info(number)
        for number in (4999, 10, -1):
            await ctx.report_progress(number, 4999)
        return "done"

    async with serving(tmp_path, [app]) as server:
        session = await open_session(server)
        params = {"name": "flood", "_meta": {"progressToken": "p"}}
        *notices, answer = (await session.call("tools/call", params)).messages()
        values = [n["params"]["progress"] for n in notices if "progress" in n["params"]]
        assert values == sorted(set(values))
        assert (values[0], values[-1]) == (0, 4999)
        assert len(notices) < 1000
        assert answer["result"]["isError"] is False


async def test_calls_are_limited_for_each_user(tmp_path):
    """MCP, server/tools, "Security Considerations" """
    async with serving(tmp_path, [make_app()], calls_per_minute=2.0) as server:
        session = await open_session(server)
        params = {"name": "add", "arguments": {"a": 1, "b": 1}}
        replies = [await session.call("tools/call", params) for _ in range(4)]
        codes = [reply.json().get("error", {}).get("code") for reply in replies]
        assert codes == [None, None, -32600, -32600]
        assert [reply.status for reply in replies] == [200, 200, 429, 429]
        other = await open_session(server, user="bob")
        assert "result" in (await other.call("tools/call", params)).json()
        modern_call = await modern(server.user(), "tools/call", params)
        assert (modern_call.status, "retry-after" in modern_call.headers) == (429, True)


async def test_a_tool_that_calls_exit_is_a_failed_tool(tmp_path, caplog):
    app = App("x")

    @app.tool
    async def plain() -> str:
        sys.exit("usage: ...")

    @app.tool
    def threaded() -> str:
        sys.exit(2)

    @app.tool
    async def nested(ctx: Context) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(plain)
        return ""

    async with serving(tmp_path, [app]) as server:
        session = await open_session(server)
        for name in ("plain", "threaded", "nested"):
            assert (await call(session, name))["result"]["isError"] is True
        assert (await session.call("ping")).json()["result"] == {}


async def test_the_end_of_a_session_ends_its_calls(server):
    session = await open_session(server)
    await session.peer.begin(
        "POST", "/mcp/",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "slow"}},
        headers=session.headers,
    )  # fmt: skip
    await trio.sleep(0.1)
    ended = await server.user().request("DELETE", "/mcp/", headers=session.headers)
    assert ended.status == 204
    await trio.sleep(0.1)
    assert next(iter(server.server.catalog.states.values()))["cancelled"] == ["k"]


async def test_arguments_that_are_null_are_none(tmp_path):
    app = App("plain")
    app.tool(name="now")(lambda: "noon")
    app.prompt(name="hello")(lambda: "hello")
    async with serving(tmp_path, [app]) as server:
        client = HandshakeClient(server.user())
        await client.open()
        called = await client.call("tools/call", {"name": "now", "arguments": None})
        assert called.messages()[-1]["result"]["isError"] is False
        asked = await client.call("prompts/get", {"name": "hello", "arguments": None})
        assert asked.messages()[-1]["result"]["messages"]
        wrong = await client.call("prompts/get", {"name": "hello", "arguments": {"who": 1}})
        assert "$.arguments" in wrong.json()["error"]["message"]


async def test_an_answer_in_a_batch_that_cannot_be_kept_costs_the_others_nothing(
    server, monkeypatch
):
    async def away(*args, **options):
        raise StoreError("The store is away.")

    monkeypatch.setattr(server.server.backend.answers, "deliver", away)
    session = await open_session(server, "2025-03-26")
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    batch = [{"jsonrpc": "2.0", "id": "ask-x-1", "result": {}}, ping]
    told = await session.peer.request("POST", "/mcp/", json=batch, headers=session.headers)
    assert [answer["id"] for answer in told.json()] == [1]


async def test_a_look_up_that_fails_is_a_fault_of_its_request_alone(tmp_path, caplog):
    app = App("plain")

    @app.resource("note://{name}")
    def note(name: str) -> str:
        return name

    class Failing:
        def __getattr__(self, name):
            return getattr(declared, name)

        def match(self, uri):
            raise LookupError("a provider's own")

    declared = app.resources["note://{name}"]
    app.resources["note://{name}"] = Failing()
    read = {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "note://a"}}
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    async with serving(tmp_path, [app]) as server:
        session = await open_session(server, "2025-03-26")
        told = await session.peer.request(
            "POST", "/mcp/", json=[read, ping], headers=session.headers
        )
    assert [answer.get("error", {}).get("code") for answer in told.json()] == [-32603, None]
    assert "a provider's own" not in told.body.decode()
    assert "a provider's own" in caplog.text


async def test_a_client_that_forgets_its_sessions_does_not_keep_its_user_out(tmp_path):
    async with serving(tmp_path, [make_app()], max_sessions_per_user=2) as server:
        clients = [HandshakeClient(server.user()) for _ in range(3)]
        for client in clients:
            await client.open()
        assert (await clients[0].call("tools/list")).status == 404
        for client in clients[1:]:
            assert (await client.call("tools/list")).status == 200
