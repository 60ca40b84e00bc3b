"""Resources, prompts, completion, subscriptions, changes while running: both eras."""

import sys

import pytest
import trio

from mcpd import App
from tests.in_process import META, HandshakeClient, modern, modern_headers, serving
from tests.mcp.everything import Capable, everything
from tests.peer import parse_events

VERSIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"]


@pytest.fixture
async def server(tmp_path):
    async with everything(tmp_path) as server:
        yield server


async def request(server, version, method, params=None):
    if version == "2026-07-28":
        return (await modern(server.user(), method, params or {})).json()
    session = HandshakeClient(server.user(), version)
    await session.open()
    return (await session.call(method, params or {})).json()


@pytest.mark.parametrize("version", VERSIONS)
async def test_resources_in_every_revision(server, version):
    listed = (await request(server, version, "resources/list"))["result"]["resources"]
    assert "test://static-text" in [resource["uri"] for resource in listed]
    templates = (await request(server, version, "resources/templates/list"))["result"]
    assert templates["resourceTemplates"][0]["uriTemplate"] == "test://template/{id}/data"
    read = await request(server, version, "resources/read", {"uri": "test://template/7/data"})
    contents = read["result"]["contents"][0]
    assert contents["uri"] == "test://template/7/data"
    assert '"id":"7"' in contents["text"]
    binary = await request(server, version, "resources/read", {"uri": "test://static-binary"})
    assert binary["result"]["contents"][0]["mimeType"] == "image/png"
    missing = await request(server, version, "resources/read", {"uri": "test://none"})
    expected = -32602 if version == "2026-07-28" else -32002
    assert missing["error"]["code"] == expected
    assert missing["error"]["data"]["uri"] == "test://none"
    wrong = await request(server, version, "resources/read", {})
    assert wrong["error"]["code"] == -32602


@pytest.mark.parametrize("version", VERSIONS)
async def test_prompts_in_every_revision(server, version):
    listed = (await request(server, version, "prompts/list"))["result"]["prompts"]
    names = {prompt["name"]: prompt for prompt in listed}
    assert names["test_prompt_with_arguments"]["arguments"][0]["required"] is True
    params = {"name": "test_prompt_with_arguments", "arguments": {"arg1": "x", "arg2": "y"}}
    got = await request(server, version, "prompts/get", params)
    assert "arg1='x'" in got["result"]["messages"][0]["content"]["text"]
    for wrong in (
        {"name": "nope"},
        {"name": "test_prompt_with_arguments"},
        {"name": "test_prompt_with_arguments", "arguments": {"arg1": "x", "arg2": 1}},
        {},
    ):
        refused = await request(server, version, "prompts/get", wrong)
        assert refused["error"]["code"] == -32602


@pytest.mark.parametrize("version", VERSIONS)
async def test_completion_in_every_revision(server, version):
    async def complete(ref, name, value):
        params = {"ref": ref, "argument": {"name": name, "value": value}}
        return await request(server, version, "completion/complete", params)

    prompt = {"type": "ref/prompt", "name": "test_prompt_with_arguments"}
    found = (await complete(prompt, "arg1", "par"))["result"]["completion"]
    assert found["values"] == ["paris", "park", "party"]
    template = {"type": "ref/resource", "uri": "test://template/{id}/data"}
    many = (await complete(template, "id", ""))["result"]["completion"]
    assert (len(many["values"]), many["total"], many["hasMore"]) == (100, 1000, True)
    assert (await complete(prompt, "arg2", "x"))["result"]["completion"]["values"] == []
    unknown = await complete({"type": "ref/prompt", "name": "nope"}, "x", "")
    assert unknown["error"]["code"] == -32602


async def test_capabilities_say_what_is_there(server):
    modern_ones = (await request(server, "2026-07-28", "server/discover"))["result"]
    assert set(modern_ones["capabilities"]) == {
        "logging", "tools", "resources", "prompts", "completions", "extensions"
    }  # fmt: skip
    for version, expected in (
        ("2024-11-05", {"logging", "tools", "resources", "prompts"}),
        ("2025-06-18", {"logging", "tools", "resources", "prompts", "completions"}),
        ("2025-11-25", {"logging", "tools", "resources", "prompts", "completions", "tasks"}),
    ):
        result = await HandshakeClient(server.user(), version).open()
        assert set(result["capabilities"]) == expected


# --- changes ---------------------------------------------------------------------------------


async def open_stream(server, session):
    peer = server.user()
    await peer.begin("GET", "/mcp/", headers=session.headers)
    await peer.head()
    return peer


async def next_event(peer) -> dict:
    with trio.fail_after(30):
        while True:
            piece = await peer.piece()
            assert piece is not None
            for event in parse_events(piece):
                if event.get("data"):
                    return event


async def quiet(peer) -> bool:
    with trio.move_on_after(0.3):
        await peer.piece()
        return False
    return True


async def test_updates_reach_the_sessions_that_subscribed_and_nobody_else(server):
    mine, other = Capable(server), Capable(server)
    await mine.open()
    await other.open()
    uri = {"uri": "test://watched-resource"}
    assert (await mine.call("resources/subscribe", uri)).json()["result"] == {}
    streams = [await open_stream(server, mine), await open_stream(server, other)]
    await mine.tool("test_trigger_resource_update", uri)
    event = await next_event(streams[0])
    assert "notifications/resources/updated" in event["data"]
    assert await quiet(streams[1])
    assert (await mine.call("resources/unsubscribe", uri)).json()["result"] == {}
    await mine.tool("test_trigger_resource_update", uri)
    assert await quiet(streams[0])
    missing = await mine.call("resources/subscribe", {"uri": "test://none"})
    assert missing.json()["error"]["code"] == -32002


async def test_a_changed_list_is_announced_once_and_listed_anew(server):
    session = Capable(server)
    await session.open()
    older = await open_stream(server, session)
    newer = await open_stream(server, session)
    await session.tool("test_trigger_tool_change")
    assert "tools/list_changed" in (await next_event(newer))["data"]
    assert await quiet(older)  # a message goes out on one stream only
    names = [t["name"] for t in (await session.call("tools/list")).json()["result"]["tools"]]
    assert "test_dynamic" in names
    assert (await session.tool("test_dynamic"))["result"]["content"][0]["text"] == "dynamic"


async def test_what_a_session_missed_is_replayed_by_its_last_event_id(server):
    session = Capable(server)
    await session.open()
    stream = await open_stream(server, session)
    await session.tool("test_trigger_tool_change")
    first = await next_event(stream)
    await stream.stream.aclose()
    await session.tool("test_trigger_prompt_change")
    back = server.user()
    headers = [*session.headers, ("last-event-id", first["id"])]
    await back.begin("GET", "/mcp/", headers=headers)
    await back.head()
    assert "prompts/list_changed" in (await next_event(back))["data"]
    stranger = Capable(server)
    await stranger.open()
    wrong = server.user()
    await wrong.begin("GET", "/mcp/", headers=[*stranger.headers, ("last-event-id", first["id"])])
    await wrong.head()
    assert await quiet(wrong)


async def listen(server, wanted, *, request_id=0, meta=None):
    peer = server.user()
    params = {"_meta": {**META, **(meta or {})}, "notifications": wanted}
    message = {
        "jsonrpc": "2.0", "id": request_id, "method": "subscriptions/listen", "params": params
    }  # fmt: skip
    headers = modern_headers("subscriptions/listen")
    await peer.begin("POST", "/mcp/", json=message, headers=headers)
    await peer.head()
    return peer


async def test_listen_acknowledges_and_passes_on_what_was_asked_for_alone(server):
    import msgspec

    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["test://watched-resource"]}
    peer = await listen(server, wanted, request_id=0)
    acknowledged = msgspec.json.decode((await next_event(peer))["data"])
    assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
    assert acknowledged["params"]["notifications"] == wanted
    key = "io.modelcontextprotocol/subscriptionId"
    assert acknowledged["params"]["_meta"][key] == 0

    async def call(name, arguments=None):
        params = {"name": name, "arguments": arguments or {}}
        return await modern(server.user(), "tools/call", params)

    await call("test_trigger_prompt_change")
    await call("test_trigger_resource_update", {"uri": "test://other"})
    await call("test_trigger_resource_update", {"uri": "test://watched-resource"})
    updated = msgspec.json.decode((await next_event(peer))["data"])
    assert updated["params"] == {"uri": "test://watched-resource", "_meta": {key: 0}}
    await call("test_trigger_tool_change")
    changed = msgspec.json.decode((await next_event(peer))["data"])
    assert changed["method"] == "notifications/tools/list_changed"
    server.server.state.end_streams()
    farewell = msgspec.json.decode((await next_event(peer))["data"])
    assert farewell["id"] == 0
    assert farewell["result"]["resultType"] == "complete"
    assert farewell["result"]["_meta"][key] == 0


async def test_listen_needs_an_event_stream(server):
    params = {"_meta": META, "notifications": {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
    headers = [("accept", "application/json"), *modern_headers("subscriptions/listen")[1:]]
    reply = await server.user().request("POST", "/mcp/", json=message, headers=headers)
    assert reply.status == 406


# --- mirrored parameters ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "arguments", "accepted"),
    [
        ([("mcp-param-region", "eu")], {"region": "eu"}, True),
        ([("mcp-param-region", "=?base64?ZXU=?=")], {"region": "eu"}, True),
        ([("mcp-param-priority", "42.0")], {"priority": 42}, True),
        ([("mcp-param-verbose", "true")], {"verbose": True}, True),
        ([], {}, True),
        ([("mcp-param-region", "us")], {"region": "eu"}, False),
        ([], {"region": "eu"}, False),
        ([("mcp-param-region", "eu")], {}, False),
        ([("mcp-param-verbose", "True")], {"verbose": True}, False),
        ([("mcp-param-priority", "x")], {"priority": 42}, False),
        ([("mcp-param-region", "eu"), ("mcp-param-region", "eu")], {"region": "eu"}, False),
        ([("mcp-param-region", "\u00e4")], {"region": "\u00e4"}, False),
    ],
)
async def test_mirrored_parameters_must_say_the_same(server, headers, arguments, accepted):
    params = {"name": "test_x_mcp_header", "arguments": arguments, "_meta": META}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    reply = await server.user().request(
        "POST", "/mcp/", json=message,
        headers=[*modern_headers("tools/call", "test_x_mcp_header"), *headers],
    )  # fmt: skip
    if accepted:
        assert reply.status == 200, reply
    else:
        assert (reply.status, reply.json()["error"]["code"]) == (400, -32020)


async def test_a_tool_with_an_interface_advertises_the_extension(tmp_path):
    """MCP Apps, io.modelcontextprotocol/ui"""
    app = App("x")

    @app.resource("ui://clock", mime_type="text/html;profile=mcp-app")
    async def clock() -> str:
        return "<b>12:00</b>"

    @app.tool(meta={"ui": {"resourceUri": "ui://clock"}})
    async def time() -> str:
        return "12:00"

    async with serving(tmp_path, [app]) as server:
        found = (await modern(server.user(), "server/discover")).json()["result"]["capabilities"]
        assert found["extensions"] == {
            "io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}
        }
        (tool,) = (await request(server, "2025-11-25", "tools/list"))["result"]["tools"]
        assert tool["_meta"]["ui"]["resourceUri"] == "ui://clock"
        page = await request(server, "2025-11-25", "resources/read", {"uri": "ui://clock"})
        assert page["result"]["contents"][0]["mimeType"] == "text/html;profile=mcp-app"


async def test_completers_are_called_as_tools_are(tmp_path):
    app = App("x")

    @app.prompt
    async def hello(name: str, exits: str = "") -> str:
        return name

    class Names:
        async def __call__(self, value, others):
            return ["ann", "anton"]

    app.completion("hello", "name")(Names())

    @app.completion("hello", "exits")
    def quits(value, others):
        sys.exit(2)

    async with serving(tmp_path, [app]) as server:

        async def complete(argument):
            ref = {"type": "ref/prompt", "name": "hello"}
            params = {"ref": ref, "argument": {"name": argument, "value": "a"}}
            return await request(server, "2025-11-25", "completion/complete", params)

        found = await complete("name")
        assert found["result"]["completion"]["values"] == ["ann", "anton"]
        failed = await complete("exits")
        assert failed["error"]["code"] == -32603
        assert "log" in failed["error"]["message"]
