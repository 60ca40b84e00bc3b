"""What is counted and told of a call does not change how it is answered."""

import json

import pytest
import trio

from mcpd import App, Context
from mcpd.access.rules import AccessRules, Role, read_rules
from mcpd.auth.principals import LOCAL_PRINCIPAL
from mcpd.events import CallServed
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.revisions import V2026_07_28
from tests.in_process import META, HandshakeClient, modern, modern_headers, serving
from tests.mcp.demo_app import make_app


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path, [make_app()]) as server:
        yield server


@pytest.mark.parametrize("arguments", [[1], "x", 3])
async def test_arguments_that_are_no_object_are_answered_and_told(server, arguments):
    heard = []
    server.server.runtime.observer.listen(CallServed, heard.append)
    reply = await modern(server.user(), "tools/call", {"name": "add", "arguments": arguments})
    assert (reply.json()["id"], reply.json()["error"]["code"]) == (1, -32602)
    client = HandshakeClient(server.user())
    await client.open()
    answer = await client.call("tools/call", {"name": "add", "arguments": arguments})
    assert "id" in answer.json()
    assert answer.json()["result"]["isError"] is True
    assert [(one.code, one.is_error) for one in heard] == [(-32602, False), (0, True)]


async def test_what_a_client_says_of_itself_is_short_wherever_it_is_kept(server):
    caller = Caller(LOCAL_PRINCIPAL, V2026_07_28, client_info={"name": "x" * 10**6, "version": "1"})
    assert len(caller.client) < 300
    heard = []
    server.server.runtime.observer.listen(CallServed, heard.append)
    info = {"io.modelcontextprotocol/clientInfo": {"name": "y" * 10**5, "version": "z" * 10**5}}
    await modern(server.user(), "tools/list", meta=info)
    assert len(heard[0].client) < 300


async def test_calls_over_http_sse_are_counted(tmp_path):
    rules = read_rules({"limits": {"calls_per_day": 2}}, "a test")
    async with serving(tmp_path, [make_app()], access=rules) as server:
        down = server.user()
        await down.begin("GET", "/sse")
        await down.head()
        target = (await events(down, 1))[0]
        post = server.user()
        call = {"name": "add", "arguments": {"a": 1, "b": 1}}
        hello = {
            "protocolVersion": "2024-11-05", "capabilities": {},
            "clientInfo": {"name": "old", "version": "1"},
        }  # fmt: skip
        bodies = [("initialize", hello), *[("tools/call", call)] * 4]
        for number, (method, params) in enumerate(bodies):
            message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            assert (await post.request("POST", target, json=message)).status == 202
        answers = [json.loads(data) for data in await events(down, 5)]
        codes = [answer.get("error", {}).get("code") for answer in answers]
        assert sorted(codes, key=str) == [-32600, -32600, None, None, None]


async def events(peer, number: int) -> list[str]:
    """The data of so many events."""
    found, text = [], ""
    with trio.fail_after(10):
        while len(found) < number:
            text += (await peer.piece()).decode()
            *whole, text = text.split("\n\n")
            for event in whole:
                data = [line[6:] for line in event.split("\n") if line.startswith("data: ")]
                found += ["\n".join(data)] if data else []
    return found


def an_app():
    app = App("guarded")

    @app.tool
    async def secret(ctx: Context) -> str:
        return "told"

    return app


async def test_rights_that_end_while_a_body_arrives_have_ended(tmp_path):
    rules = AccessRules(roles={"all": Role()}, users={"*": ("all",)})
    async with serving(tmp_path, [an_app()], access=rules) as server:
        peer = server.user()
        params = {"name": "secret", "arguments": {}, "_meta": META}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        body = json.dumps(message).encode()
        headers = [
            *modern_headers("tools/call", "secret"), ("content-type", "application/json"),
            ("content-length", str(len(body))), ("authorization", f"Bearer {server.token()}"),
            ("host", "localhost"),
        ]  # fmt: skip
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        start = f"POST /mcp/ HTTP/1.1\r\n{lines}\r\n".encode()
        await peer.stream.send_all(start + body[:10])
        await trio.testing.wait_all_tasks_blocked()
        credentials = server.server.credentials
        credentials.access.use(AccessRules(roles={"few": Role(tools=())}, users={"*": ("few",)}))
        credentials.authenticator.use(credentials._kinds())
        await peer.stream.send_all(body[10:])
        answer = b""
        with trio.fail_after(10):
            while b"secret" not in answer and b"told" not in answer:
                answer += await peer.stream.receive_some(65536)
        assert b"Unknown tool" in answer


async def test_a_hidden_resource_shadows_nothing(tmp_path):
    app = App("files")

    @app.resource("files://payroll", name="payroll")
    def payroll() -> str:
        return "secret"

    @app.resource("files://{name}", name="files")
    def files(name: str) -> str:
        return f"file {name}"

    rules = AccessRules(
        roles={"some": Role(resources=("files",)), "all": Role()},
        users={"alice": ("some",), "boss": ("all",)},
    )
    async with serving(tmp_path, [app], access=rules) as server:
        told = {}
        for user in ("alice", "boss"):
            reply = await modern(server.user(user), "resources/read", {"uri": "files://payroll"})
            told[user] = reply.json()["result"]["contents"][0]["text"]
        assert told == {"alice": "file payroll", "boss": "secret"}
