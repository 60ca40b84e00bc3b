"""What happened is told once, with what its listeners need."""

import pytest
import trio

from mcpd import App, Context, ToolError
from mcpd.events import CallServed, RequestServed
from mcpd.observer import Observer
from tests.in_process import META, HandshakeClient, modern, modern_headers, serving


def test_events_go_to_the_listeners_of_their_class():
    observer, heard = Observer(), []
    observer.tell(1)
    assert not observer.hears(int)
    observer.listen(int, heard.append)
    observer.listen(int, heard.append)
    observer.tell(1)
    observer.tell("text")
    assert heard == [1, 1]


@pytest.fixture
async def server(tmp_path):
    app = App("observed")

    @app.tool
    async def add(a: int, b: int) -> int:
        return a + b

    @app.tool
    async def fail() -> None:
        raise ToolError("no")

    @app.tool
    async def last(ctx: Context) -> None:
        server.runs.set()
        await trio.sleep_forever()

    async with serving(tmp_path, [app]) as server:
        server.calls, server.requests, server.runs = [], [], trio.Event()
        server.server.runtime.observer.listen(CallServed, server.calls.append)
        server.server.state.observer.listen(RequestServed, server.requests.append)
        yield server


@pytest.mark.parametrize(
    ("params", "target", "code", "is_error"),
    [
        ({"name": "add", "arguments": {"a": 1, "b": 2}}, "add", 0, False),
        ({"name": "fail"}, "fail", 0, True),
        ({"name": "made up by a client"}, "", -32602, False),
    ],
)
async def test_a_call_is_told_with_its_outcome_and_what_this_server_calls_it(
    server, params, target, code, is_error
):
    await modern(server.user(), "tools/call", params)
    (call,) = server.calls
    assert (call.method, call.target) == ("tools/call", target)
    assert (call.code, call.is_error, call.cancelled) == (code, is_error, False)
    assert call.principal.endswith("alice")
    assert call.seconds >= 0


async def test_a_request_and_its_call_have_one_activity(server):
    client = HandshakeClient(server.user())
    await client.open()
    await client.call("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
    (call,) = server.calls
    request = server.requests[-1]
    assert request.activity is call.activity
    known = request.activity.known()
    assert known == {"user": "alice", "session": client.id, "method": "tools/call"}
    assert call.session == client.id


async def test_a_cancelled_call_is_told_as_that(server):
    client, other = HandshakeClient(server.user()), server.user()
    await client.open()
    call = {"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {"name": "last"}}
    await other.begin("POST", "/mcp/", json=call, headers=client.headers)
    await server.runs.wait()
    await client.notify("notifications/cancelled", {"requestId": "x"})
    with trio.fail_after(30):
        await other.reply()
    (told,) = server.calls
    assert told.cancelled


async def test_a_call_whose_client_leaves_is_told_too(server):
    peer = server.user()
    params = {"name": "last", "arguments": {}, "_meta": META}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    await peer.begin("POST", "/mcp/", json=call, headers=modern_headers("tools/call", "last"))
    await server.runs.wait()
    await peer.stream.aclose()
    with trio.fail_after(30):
        while not server.calls:
            await trio.sleep(0.01)
    assert server.calls[0].cancelled


async def test_a_refusal_has_no_call_and_no_user(server):
    refused = await modern(server.connect(token="nonsense"), "tools/list")
    assert refused.status == 401
    assert server.calls == []
    assert server.requests[-1].activity.user == ""


def test_a_listener_that_raises_harms_neither_the_actor_nor_the_others(caplog):
    observer, heard = Observer(), []

    def broken(event):
        raise TypeError("no")

    observer.listen(int, broken)
    observer.listen(int, heard.append)
    for number in range(3):
        observer.tell(number)
    assert heard == [0, 1, 2]
    assert caplog.text.count("a listener fails") == 1
