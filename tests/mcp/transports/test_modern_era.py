"""2026-07-28: no handshake, no session, everything in the request."""

import base64

import pytest
import trio

from mcpd.mcp.envelope.headers import decode_value
from tests.in_process import BOTH, META, modern, modern_headers, serving
from tests.mcp.demo_app import make_app

INFO = "io.modelcontextprotocol/serverInfo"


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path, [make_app()]) as server:
        yield server


async def test_discover_tells_versions_and_capabilities(server):
    reply = await modern(server.user(), "server/discover")
    result = reply.json()["result"]
    assert reply.status == 200
    assert result["resultType"] == "complete"
    assert result["supportedVersions"][0] == "2026-07-28"
    assert result["capabilities"] == {"logging": {}, "tools": {"listChanged": True}}
    assert (result["cacheScope"], result["ttlMs"] >= 0) == ("public", True)
    assert result["_meta"][INFO]["name"] == "demo"
    assert "mcp-session-id" not in reply.headers


async def test_calls_need_no_session_and_ignore_one(server):
    reply = await modern(
        server.user(), "tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}}
    )
    result = reply.json()["result"]
    assert result["structuredContent"] == 3  # any JSON value
    assert result["resultType"] == "complete"
    assert INFO in result["_meta"]
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    headers = [*modern_headers("tools/list"), ("mcp-session-id", "gone")]
    reply = await server.user().request("POST", "/mcp/", json=message, headers=headers)
    assert reply.status == 200
    tools = {tool["name"]: tool for tool in reply.json()["result"]["tools"]}
    assert tools["add"]["outputSchema"] == {"type": "integer"}
    assert reply.json()["result"]["cacheScope"] == "public"


async def test_wrong_arguments_are_results_and_unknown_things_errors(server):
    wrong = await modern(server.user(), "tools/call", {"name": "add", "arguments": {"a": 1}})
    assert wrong.json()["result"]["isError"] is True
    assert wrong.json()["result"]["resultType"] == "complete"
    unknown = await modern(server.user(), "tools/call", {"name": "nope"})
    assert (unknown.status, unknown.json()["error"]["code"]) == (400, -32602)
    for method in ("nope", "ping", "logging/setLevel", "resources/subscribe"):
        reply = await modern(server.user(), method)
        assert (reply.status, reply.json()["error"]["code"]) == (404, -32601)
        assert reply.json()["id"] == 1


async def post(server, message, headers):
    return await server.user().request("POST", "/mcp/", json=message, headers=headers)


def without(member: str) -> dict:
    return {name: value for name, value in META.items() if not name.endswith(member)}


@pytest.mark.parametrize("member", ["protocolVersion", "clientCapabilities"])
async def test_a_missing_required_member_is_minus_32602(server, member):
    message = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/list",
        "params": {"_meta": without(member)},
    }
    reply = await post(server, message, modern_headers("tools/list"))
    assert (reply.status, reply.json()["error"]["code"], reply.json()["id"]) == (400, -32602, 7)


async def test_client_info_is_optional(server):
    params = {"_meta": without("clientInfo")}
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": params}
    assert (await post(server, message, modern_headers("tools/list"))).status == 200


async def test_an_unsupported_version_names_the_supported_ones(server):
    for version in ("2025-11-25", "2099-01-01", "x"):
        meta = {**META, "io.modelcontextprotocol/protocolVersion": version}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
        headers = [("mcp-protocol-version", version), ("mcp-method", "tools/list")]
        reply = await post(server, message, headers)
        error = reply.json()["error"]
        assert (reply.status, error["code"]) == (400, -32022)
        assert error["data"]["requested"] == version
        assert "2026-07-28" in error["data"]["supported"]


CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "add", "arguments": {"a": 1, "b": 1}, "_meta": META},
}
VERSION = ("mcp-protocol-version", "2026-07-28")
METHOD = ("mcp-method", "tools/call")
NAME = ("mcp-name", "add")


def sentinel(value: str) -> str:
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


@pytest.mark.parametrize(
    "headers",
    [
        [METHOD, NAME],
        [VERSION, NAME],
        [VERSION, METHOD],
        [("mcp-protocol-version", "2025-11-25"), METHOD, NAME],
        [VERSION, ("mcp-method", "tools/list"), NAME],
        [VERSION, ("mcp-method", "TOOLS/CALL"), NAME],
        [VERSION, METHOD, ("mcp-name", "sub")],
        [VERSION, METHOD, ("mcp-name", sentinel("sub"))],
        [VERSION, METHOD, ("mcp-name", "=?base64?!!?=")],
        [VERSION, METHOD, ("mcp-name", "=?base64?//8=?=")],
        [VERSION, METHOD, ("mcp-name", "\u00e4dd")],
    ],
)
async def test_headers_that_do_not_match_are_minus_32020(server, headers):
    reply = await post(server, CALL, headers)
    assert (reply.status, reply.json()["error"]["code"], reply.json()["id"]) == (400, -32020, 1)


async def test_a_repeated_header_is_refused(server):
    reply = await post(server, CALL, [VERSION, METHOD, NAME, NAME])
    assert reply.status == 400


async def test_an_encoded_name_is_decoded_before_it_is_compared(server):
    reply = await post(server, CALL, [VERSION, METHOD, ("mcp-name", sentinel("add"))])
    assert reply.json()["result"]["structuredContent"] == 2


def test_values_that_look_encoded_are_taken_for_it():
    assert decode_value(sentinel("=?base64?x?="), "X") == "=?base64?x?="
    assert decode_value("plain", "X") == "plain"


async def test_the_header_alone_opens_the_modern_era(server):
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    reply = await post(server, message, modern_headers("tools/list"))
    assert (reply.status, reply.json()["error"]["code"]) == (400, -32602)


async def test_initialize_is_the_handshake_unless_it_carries_modern_metadata(server):
    params = {"protocolVersion": "2026-07-28", "capabilities": {}, "clientInfo": {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    reply = await post(server, message, modern_headers("initialize"))
    assert reply.json()["result"]["protocolVersion"] == "2025-11-25"
    message["params"] = {**params, "_meta": META}
    reply = await post(server, message, modern_headers("initialize"))
    assert (reply.status, reply.json()["error"]["code"]) == (404, -32601)
    assert "2025-11-25" in reply.json()["error"]["data"]["supported"]


async def test_log_messages_only_for_requests_that_name_a_level(server):
    async def levels(meta):
        reply = await modern(server.user(), "tools/call", {"name": "chatter"}, meta=meta)
        return [m["params"]["level"] for m in reply.messages() if "method" in m]

    key = "io.modelcontextprotocol/logLevel"
    assert await levels({}) == []
    assert await levels({key: "warning"}) == ["warning", "error"]
    wrong = await modern(server.user(), "tools/call", {"name": "chatter"}, meta={key: "loud"})
    assert (wrong.status, wrong.json()["error"]["code"]) == (400, -32602)


async def test_progress_is_streamed_in_the_modern_era(server):
    reply = await modern(
        server.user(), "tools/call", {"name": "count", "arguments": {"to": 2}},
        meta={"progressToken": 0},
    )  # fmt: skip
    assert [m["params"]["progress"] for m in reply.messages()[:-1]] == [1, 2]
    assert reply.messages()[-1]["result"]["resultType"] == "complete"


async def test_a_disconnect_cancels_also_while_a_plain_answer_is_prepared(server):
    peer = server.user()
    message = {**CALL, "params": {"name": "slow", "_meta": META}}
    await peer.begin("POST", "/mcp/", json=message, headers=modern_headers("tools/call", "slow"))
    await trio.sleep(0.2)
    await peer.stream.aclose()
    await trio.sleep(0.1)
    assert next(iter(server.server.catalog.states.values()))["cancelled"] == ["k"]


async def test_notifications_are_202_and_responses_refused(server):
    notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {}}
    reply = await post(server, notice, [VERSION])
    assert (reply.status, reply.body) == (202, b"")
    reply = await post(server, {"jsonrpc": "2.0", "id": 1, "result": {}}, [VERSION])
    assert reply.status == 400


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_get_and_delete_are_405(server, method):
    reply = await server.user().request(method, "/mcp/", headers=[VERSION])
    assert (reply.status, "POST" in reply.headers["allow"]) == (405, True)
    assert reply.json()["jsonrpc"] == "2.0"
    assert "POST" in reply.json()["error"]["message"]


async def test_nothing_is_remembered_between_requests_of_one_connection(server):
    peer = server.user()
    key = "io.modelcontextprotocol/logLevel"
    first = await modern(peer, "tools/call", {"name": "chatter"}, meta={key: "error"})
    assert len(first.messages()) == 2
    second = await modern(peer, "tools/call", {"name": "chatter"})
    assert len(second.messages()) == 1


async def test_faults_of_the_envelope_are_told_in_modern_terms(server):
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": "x"}}
    reply = await post(server, message, modern_headers("tools/list"))
    assert (reply.status, reply.json()["error"]["code"]) == (400, -32602)
    meta = {**META, "io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    headers = [
        ("mcp-protocol-version", "2099-01-01"),
        ("mcp-method", "tools/list"),
        ("mcp-session-id", "stale"),
    ]
    reply = await post(server, message, headers)
    assert (reply.status, reply.json()["error"]["code"]) == (400, -32022)


async def test_a_server_without_the_handshake_has_no_batches_whatever_the_head_says(tmp_path):
    async with serving(tmp_path, [make_app()], handshake=False) as server:
        for headers in ([], [("mcp-protocol-version", "2025-03-26")], [VERSION]):
            ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            told = await post(server, [ping], headers)
            assert told.status == 400
            assert "2026-07-28 has no batches" in told.json()["error"]["message"]


@pytest.mark.parametrize("arguments", [[1], 7, "x", True])
async def test_arguments_that_are_no_object_are_wrong_params(server, arguments):
    reply = await modern(server.user(), "tools/call", {"name": "add", "arguments": arguments})
    assert (reply.status, reply.json()["error"]["code"]) == (400, -32602)


async def test_a_version_that_is_not_spoken_is_answered_with_those_that_need_no_handshake(server):
    key = "io.modelcontextprotocol/protocolVersion"
    for version in ("2099-01-01", "2025-11-25"):
        params = {"_meta": {**META, key: version}}
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}
        headers = [BOTH, ("mcp-protocol-version", version), ("mcp-method", "tools/list")]
        reply = await server.user().request("POST", "/mcp/", json=call, headers=headers)
        error = reply.json()["error"]
        assert (error["code"], error["data"]["supported"]) == (-32022, ["2026-07-28"])


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("content-type", "text/plain")],
        [("content-type", "application/json; charset=utf-16")],
        [("content-type", "application/json"), ("content-encoding", "gzip")],
        [("content-type", "application/json"), ("content-encoding", "identity, br")],
    ],
)
async def test_a_body_that_is_not_plainly_json_is_refused(server, fields):
    peer = server.user()
    body = b'{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{}}'
    reply = await peer.request("POST", "/mcp/", body=body, headers=[BOTH, *fields])
    assert reply.status == 415
    assert reply.json()["jsonrpc"] == "2.0"
