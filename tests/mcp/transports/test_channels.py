"""HTTP+SSE of 2024-11-05, and stdio: messages both ways on one channel."""

import subprocess
import sys
from typing import Any

import msgspec
import pytest
import trio

from mcpd import App
from mcpd.config import Config
from mcpd.mcp.transports.stdio import serve_stdio
from mcpd.server.running import running
from mcpd.server.stdio import build
from tests.in_process import META
from tests.mcp.everything import ANSWERS, CAPABLE, FIXTURE, everything
from tests.peer import parse_events
from tests.scripted_client import ScriptedClient

HELLO = {"protocolVersion": "2024-11-05", "capabilities": CAPABLE, "clientInfo": {"name": "x"}}


def message(method: str, params: Any = None, request_id: Any = None) -> dict[str, Any]:
    made = {"jsonrpc": "2.0", "method": method, "params": params or {}}
    return made if request_id is None else {**made, "id": request_id}


class Sse:
    def __init__(self, server, user="alice"):
        self.server, self.user, self.events, self.rest = server, user, [], b""

    async def open(self):
        self.stream = self.server.user(self.user)
        await self.stream.begin("GET", "/sse", headers=[("accept", "text/event-stream")])
        assert (await self.stream.head()).status_code == 200
        first = await self.event()
        assert first["event"] == "endpoint"  # MCP 2024-11-05, transports
        self.endpoint = first["data"]

    async def event(self):
        with trio.fail_after(30):
            while not self.events:
                piece = await self.stream.piece()
                assert piece is not None
                *whole, self.rest = (self.rest + piece).split(b"\n\n")
                found = parse_events(b"\n\n".join(whole))
                self.events += [e for e in found if e.get("data")]
        return self.events.pop(0)

    async def post(self, body, user=None):
        peer = self.server.user(user or self.user)
        return await peer.request("POST", self.endpoint, json=body)

    async def call(self, method, params=None, request_id=1):
        assert (await self.post(message(method, params, request_id))).status == 202
        while True:
            found = await self.event()
            assert found["event"] == "message"
            body = msgspec.json.decode(found["data"])
            if "method" in body and "id" in body:
                reply = {"jsonrpc": "2.0", "id": body["id"], "result": ANSWERS[body["method"]]}
                assert (await self.post(reply)).status == 202
            elif body.get("id") == request_id:
                return body


@pytest.fixture
async def server(tmp_path):
    async with everything(tmp_path) as server:
        yield server


async def test_an_old_client_over_http_sse(server):
    client = Sse(server)
    await client.open()
    hello = await client.call("initialize", HELLO)
    assert hello["result"]["protocolVersion"] == "2024-11-05"
    assert (await client.post(message("notifications/initialized"))).status == 202
    tools = (await client.call("tools/list"))["result"]["tools"]
    assert "outputSchema" not in tools[0]
    called = await client.call("tools/call", {"name": "test_simple_text"}, "x")
    assert "simple text" in called["result"]["content"][0]["text"]
    asked = await client.call("tools/call", {"name": "test_roots"})
    assert asked["result"]["content"][0]["text"] == "Found 1 root(s)"
    assert (await client.call("nope"))["error"]["code"] == -32601
    assert (await client.post([message("ping", None, 1)])).status == 202
    refused = msgspec.json.decode((await client.event())["data"])
    assert refused["error"]["code"] == -32600  # no batches in 2024-11-05


async def test_an_sse_session_ends_with_its_stream_and_belongs_to_its_user(server):
    client = Sse(server)
    await client.open()
    await client.call("initialize", HELLO)
    assert (await client.post(message("ping", None, 1), user="mallory")).status == 404
    await client.stream.stream.aclose()
    await trio.sleep(0.2)
    assert (await client.post(message("ping", None, 1))).status == 404
    assert (await server.connect().request("GET", "/sse")).status == 401
    assert (await server.user().request("POST", "/messages", json={})).status == 400


@pytest.fixture
async def stdio(tmp_path):
    sys.modules.pop("everything", None)
    backend, runtime = build(Config(app=(f"{FIXTURE}:app",)))
    ours, theirs = trio.testing.memory_stream_pair()
    async with running(backend, runtime, tmp_path), trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve_stdio(runtime, theirs, theirs, max_line_bytes=10_000))
        client = ScriptedClient(ours, ours)
        (client.state,) = runtime.catalog.states.values()  # type: ignore[attr-defined]
        yield client
        nursery.cancel_scope.cancel()


async def test_both_eras_on_one_pipe(stdio):
    await stdio.write(message("ping", None, 0))
    assert (await stdio.read())["error"]["code"] == -32600
    await stdio.write(message("initialize", HELLO, 1), message("notifications/initialized"))
    assert (await stdio.read())["result"]["protocolVersion"] == "2024-11-05"
    await stdio.write(message("ping", None, 2))
    assert await stdio.read() == {"jsonrpc": "2.0", "id": 2, "result": {}}
    await stdio.write(message("server/discover", {"_meta": META}, "d"))
    assert (await stdio.read())["result"]["supportedVersions"][0] == "2026-07-28"
    call = {"name": "test_simple_text", "_meta": META}
    await stdio.write(message("tools/call", call, 3))
    assert (await stdio.read())["result"]["resultType"] == "complete"


async def test_modern_calls_are_cancelled_by_notification(stdio):
    call = {"name": "test_slow", "arguments": {"seconds": 60, "key": "k"}, "_meta": META}
    await stdio.write(message("tools/call", call, "slow"))
    await trio.sleep(0.1)
    await stdio.write(message("notifications/cancelled", {"requestId": "slow"}))
    status = {"name": "test_slow_status", "arguments": {"key": "k"}, "_meta": META}
    await stdio.write(message("tools/call", status, 2))
    answer = await stdio.read()
    assert (answer["id"], answer["result"]["content"][0]["text"]) == (2, "cancelled")


async def test_lines_that_cannot_be_taken_are_answered(stdio):
    await stdio.write(b"{", b"", b"[]", b'{"x":"' + b"y" * 30_000 + b'"}', b"3")
    codes = sorted([(await stdio.read())["error"]["code"] for _ in range(4)])
    assert codes == [-32700, -32600, -32600, -32600]
    await stdio.write(message("server/discover", {"_meta": META}, "still here"))
    assert (await stdio.read())["id"] == "still here"


async def test_subscriptions_share_the_channel(stdio):
    listen = {"_meta": META, "notifications": {"toolsListChanged": True}}
    await stdio.write(message("subscriptions/listen", listen, 7))
    assert (await stdio.read())["method"] == "notifications/subscriptions/acknowledged"
    call = {"name": "test_trigger_tool_change", "_meta": META}
    await stdio.write(message("tools/call", call, 8))
    messages = [await stdio.read(), await stdio.read()]
    changed = next(found for found in messages if "method" in found)
    assert changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 7


@pytest.mark.slow
def test_a_real_child_prints_nothing_but_messages_and_ends_with_its_input(tmp_path):
    app = tmp_path / "noisy.py"
    app.write_text(
        "import os\nfrom mcpd import App\napp = App('noisy')\nprint('at import')\n"
        "@app.tool\nasync def shout() -> str:\n    print('in a tool')\n"
        "    os.write(1, b'past python\\n')\n    return 'ok'\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "mcpd", "serve", "--stdio", "--app", f"{app}:app",
         "--state-dir", str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    body = message("tools/call", {"name": "shout", "_meta": META}, 1)
    child.stdin.write(msgspec.json.encode(body) + b"\n")
    child.stdin.flush()
    answer = msgspec.json.decode(child.stdout.readline())
    assert answer["result"]["content"][0]["text"] == "ok"
    rest, errors = child.communicate(timeout=60)
    assert (child.returncode, rest) == (0, b"")
    assert b"in a tool" in errors


async def test_cancellations_and_answers_never_queue_behind_calls(stdio):
    for number in range(130):
        slow = {"seconds": 60, "key": str(number)}
        call = {"name": "test_slow", "arguments": slow, "_meta": META}
        await stdio.write(message("tools/call", call, number))
    refused = [(await stdio.read())["id"] for _ in range(30)]
    assert sorted(refused) == list(range(100, 130))
    for number in range(100):
        await stdio.write(message("notifications/cancelled", {"requestId": number}))
    await stdio.write(message("server/discover", {"_meta": META}, "after"))
    assert (await stdio.read())["id"] == "after"


async def test_changes_reach_a_handshake_client_on_its_pipe(stdio):
    await stdio.write(message("initialize", HELLO, 1))
    await stdio.read()
    uri = {"uri": "test://watched-resource"}
    await stdio.write(message("resources/subscribe", uri, 2))
    assert (await stdio.read())["result"] == {}
    call = {"name": "test_trigger_resource_update", "arguments": uri}
    await stdio.write(message("tools/call", call, 3))
    found = [await stdio.read(), await stdio.read()]
    assert {m.get("method") for m in found} == {None, "notifications/resources/updated"}


async def test_answers_over_http_sse_are_not_lost_to_a_slow_reader(server):
    client = Sse(server)
    await client.open()
    await client.call("initialize", HELLO)
    statuses = []
    for number in range(1300):
        statuses.append((await client.post(message("ping", None, number))).status)
        if statuses[-1] != 202:
            break
    accepted = statuses.count(202)
    await trio.testing.wait_all_tasks_blocked()
    ids = [msgspec.json.decode((await client.event())["data"])["id"] for _ in range(accepted)]
    assert sorted(ids) == list(range(accepted))


async def test_a_batch_on_a_pipe_is_answered_in_order(stdio):
    await stdio.write(message("initialize", {**HELLO, "protocolVersion": "2025-03-26"}, 1))
    await stdio.read()
    slow = {"name": "test_slow", "arguments": {"seconds": 0.05, "key": "k"}}
    await stdio.write([
        message("tools/call", slow, "slow"), message("ping", None, "quick"), 3,
        message("notifications/initialized"), message("initialize", HELLO, "again"),
    ])  # fmt: skip
    answers = await stdio.read()
    assert [answer.get("id") for answer in answers] == ["slow", "quick", None, "again"]
    assert [answer.get("error", {}).get("code") for answer in answers] == [
        None, None, -32600, -32600
    ]  # fmt: skip
    await stdio.write([message("notifications/initialized")], message("ping", None, 2))
    assert (await stdio.read())["id"] == 2


async def test_a_fault_on_a_pipe_is_told_with_the_id_that_the_log_has(tmp_path):
    app = App("faulty")

    @app.tool
    def crash() -> str:
        raise ValueError("inside")

    backend, runtime = build(Config(), [app])
    ours, theirs = trio.testing.memory_stream_pair()
    async with running(backend, runtime, tmp_path), trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve_stdio(runtime, theirs, theirs, max_line_bytes=10_000))
        client = ScriptedClient(ours, ours)
        call = {"name": "crash", "_meta": META}
        await client.write(message("tools/call", call, 1), message("tools/call", call, 2))
        texts = [(await client.read())["result"]["content"][0]["text"] for _ in range(2)]
        nursery.cancel_scope.cancel()
    ids = {text.rpartition("under ")[2].rstrip(".") for text in texts}
    assert len(ids) == 2
    assert all("-stdio-" in name for name in ids)
