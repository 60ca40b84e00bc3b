"""Calls that go on when their client leaves are bounded, in number and in time."""

from dataclasses import replace

import pytest
import trio

from mcpd.app.app import App
from mcpd.app.context import Context
from mcpd.config import Config
from mcpd.limits.caps import Cap
from mcpd.server import stdio
from tests.in_process import HandshakeClient, serving
from tests.peer import parse_events


def make_app(seen: list[str]) -> App:
    app = App("demo")

    @app.tool
    async def wait(ctx: Context, key: str) -> str:
        """Until it is cancelled."""
        try:
            await trio.sleep(10**6)
        finally:
            seen.append(key)
        return ""

    @app.tool
    async def hello() -> str:
        """At once."""
        return "hello"

    return app


def message(name: str, **arguments: str) -> dict[str, object]:
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": arguments.get("key", "x")[:9], "method": "tools/call",
            "params": params}  # fmt: skip


async def begin(server, session, key: str, *, accept: str = ""):
    headers = session.headers
    if accept:
        headers = [("accept", accept), *headers[1:]]
    peer = server.user()
    await peer.begin("POST", "/mcp/", json=message("wait", key=key), headers=headers)
    return peer


async def test_one_user_has_so_many_calls_and_others_have_theirs(tmp_path):
    seen: list[str] = []
    async with serving(tmp_path, [make_app(seen)], max_calls_per_user=3) as server:
        session = HandshakeClient(server.user())
        await session.open()
        for key in ("a", "b", "c"):
            await (await begin(server, session, key)).head()
        reply = await server.user().request(
            "POST", "/mcp/", json=message("wait", key="d"), headers=session.headers
        )
        (refused,) = reply.messages()
        assert "3 calls" in refused["error"]["message"]
        assert "max_calls_per_user" in refused["error"]["message"]
        other = HandshakeClient(server.user("bob"))
        await other.open()
        assert (await other.call("tools/call", {"name": "hello"})).json()["result"]
        await session.notify("notifications/cancelled", {"requestId": "a"})
        with trio.fail_after(10):
            while "a" not in seen:
                await trio.sleep(0.01)
        await (await begin(server, session, "e")).head()


@pytest.mark.parametrize("accept", ["", "application/json"])
async def test_a_call_whose_client_does_not_come_back_ends(tmp_path, accept, autojump_clock):
    seen: list[str] = []
    async with serving(tmp_path, [make_app(seen)], left_call_timeout_s=100.0) as server:
        session = HandshakeClient(server.user())
        await session.open()
        peer = await begin(server, session, "left", accept=accept)
        await trio.sleep(500)
        assert seen == []  # a client that is there may wait as long as request_timeout_s
        left_at = trio.current_time()
        await peer.stream.aclose()
        while not seen:
            assert trio.current_time() < left_at + 200
            await trio.sleep(1)
        assert trio.current_time() > left_at + 90


async def test_a_client_that_comes_back_keeps_its_call(tmp_path, autojump_clock):
    seen: list[str] = []
    async with serving(tmp_path, [make_app(seen)], left_call_timeout_s=100.0) as server:
        session = HandshakeClient(server.user())
        await session.open()
        peer = await begin(server, session, "kept")
        await peer.head()
        (event, *_) = parse_events(await peer.piece() or b"")
        await peer.stream.aclose()
        await trio.sleep(50)
        back = server.user()
        headers = [*session.headers, ("last-event-id", event["id"])]
        await back.begin("GET", "/mcp/", headers=headers)
        await back.head()
        await trio.sleep(500)
        assert seen == []
        await back.stream.aclose()
        await trio.sleep(300)
        reply = await server.user().request("GET", "/mcp/", headers=headers)
        assert "left_call_timeout_s" in reply.body.decode()
        assert seen == ["kept"]


async def test_the_params_of_a_users_calls_are_bounded_together(tmp_path):
    seen: list[str] = []
    async with serving(tmp_path, [make_app(seen)]) as server:
        caps = server.server.runtime.limits.caps
        caps.arguments = Cap(replace(caps.arguments.rule, each=50_000, floor=1000))
        session = HandshakeClient(server.user())
        await session.open()
        for key in ("a", "b"):
            await (await begin(server, session, key + "x" * 20_000)).head()
        reply = await server.user().request(
            "POST", "/mcp/", json=message("wait", key="c" * 20_000), headers=session.headers
        )
        (refused,) = reply.messages()
        assert "bytes of params" in refused["error"]["message"]
        assert caps.calls.total == 2
        await (await begin(server, session, "small")).head()


async def test_the_settings_hold_over_stdio_too(tmp_path):
    config = Config(state_dir=tmp_path, max_tasks_per_user=3, max_result_bytes=1000)
    _, runtime = stdio.build(config, [make_app([])])
    assert runtime.limits.caps.tasks.rule.each == 3
    assert runtime.limits.max_result_bytes == 1000
