"""A plain call that is cancelled while its tool does not heed that has one answer."""

import msgspec
import pytest
import trio

from mcpd import App
from tests.in_process import HandshakeClient, serving

LARGE = 2_000_000


@pytest.fixture
async def server(tmp_path):
    app = App("stubborn")

    @app.tool
    async def shielded(size: int) -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.15)
        return "x" * size

    @app.tool
    async def sleeps() -> str:
        await trio.sleep_forever()
        return ""

    async with serving(tmp_path, [app]) as server:
        yield server


@pytest.mark.parametrize("arguments", [{"size": 1}, {"size": LARGE}, None])
async def test_a_cancelled_call_has_one_answer_and_leaves_its_connection_in_order(
    server, arguments
):
    client = HandshakeClient(server.user())
    await client.open()
    other = client.beside(server.user())
    tool = "sleeps" if arguments is None else "shielded"
    params = {"name": tool, "arguments": arguments or {}}
    call = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params}
    for _ in range(2):
        await client.peer.begin("POST", "/mcp/", json=call, headers=client.headers)
        await trio.sleep(0.05)
        await other.notify("notifications/cancelled", {"requestId": 9})
        with trio.fail_after(10):
            reply = await client.peer.reply()
        assert (reply.status, reply.body) == (200, b"")
        assert (await client.call("ping")).json()["result"] == {}


async def test_what_was_pipelined_behind_a_cancelled_call_is_served_as_it_is(server):
    client = HandshakeClient(server.user())
    await client.open()
    other = client.beside(server.user())

    def message(**members: object) -> bytes:
        body = msgspec.json.encode({"jsonrpc": "2.0", **members})
        fields = [("host", "localhost"), ("content-type", "application/json")]
        fields += [*client.peer.headers.items(), *client.headers]
        lines = [f"{name}: {value}" for name, value in fields]
        head = "\r\n".join(["POST /mcp/ HTTP/1.1", *lines, f"content-length: {len(body)}"])
        return head.encode() + b"\r\n\r\n" + body

    params = {"name": "shielded", "arguments": {"size": 1}}
    inner = {"smuggled": "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"}
    await client.peer.stream.send_all(
        message(id=9, method="tools/call", params=params)
        + message(id=10, method="ping", params=inner)
    )
    await trio.sleep(0.05)
    await other.notify("notifications/cancelled", {"requestId": 9})
    data = b""
    with trio.fail_after(10):
        while b'"id":10' not in data:
            data += await client.peer.stream.receive_some()
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert b"mcp_endpoint" not in data
