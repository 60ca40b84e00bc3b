"""What an author's function raises ends its own call and nothing else."""

import asyncio

import pytest
import trio

from mcpd import App, Context
from tests.in_process import HandshakeClient, modern, serving


class OwnException(BaseException):
    """As a library may have one."""


async def cancelled_by_asyncio():
    async def cancels_itself():
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    asyncio.run(cancels_itself())


async def mixed():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raises, ValueError)
        nursery.start_soon(raises, OwnException)


async def raises(kind):
    raise kind


KINDS = {
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "OwnException": OwnException,
}


def failing_app() -> App:
    app = App("failing")

    @app.tool
    async def on_trio(kind: str) -> str:
        raise KINDS[kind]

    @app.tool
    def in_thread(kind: str) -> str:
        raise KINDS[kind]

    @app.tool
    async def streaming(kind: str, ctx: Context) -> str:
        await ctx.report_progress(1, 2)
        raise KINDS[kind]

    @app.tool
    async def in_nursery(kind: str, ctx: Context) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(raises, KINDS[kind])
            await trio.sleep_forever()
        return ""

    @app.tool(task="optional")
    async def as_task(kind: str, ctx: Context) -> str:
        raise KINDS[kind]

    @app.resource("fails://{kind}")
    async def fails(kind: str) -> str:
        raise KINDS[kind]

    @app.prompt
    async def asked(kind: str) -> str:
        raise KINDS[kind]

    @app.completion("asked", "kind")
    def complete(value, others):
        raise KINDS[value]

    @app.tool
    async def fine() -> str:
        return "fine"

    return app


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path, [failing_app()]) as server:
        yield server


async def assert_serves(server):
    answer = await modern(server.user(), "tools/call", {"name": "fine"})
    assert answer.json()["result"]["content"][0]["text"] == "fine"


TOOLS = ("on_trio", "in_thread", "streaming", "in_nursery", "as_task")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tool_may_raise_anything_in_the_modern_era(server, kind):
    for tool in TOOLS:
        reply = await modern(
            server.user(), "tools/call", {"name": tool, "arguments": {"kind": kind}}
        )
        assert b'"isError":true' in reply.body, (tool, reply)
    await assert_serves(server)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tool_may_raise_anything_in_a_session(server, kind):
    client = HandshakeClient(server.user())
    await client.open()
    for tool in TOOLS:
        params = {"name": tool, "arguments": {"kind": kind}, "_meta": {"progressToken": 1}}
        reply = await client.call("tools/call", params)
        assert b'"isError":true' in reply.body, (tool, reply)
    await assert_serves(server)


@pytest.mark.parametrize("kind", KINDS)
async def test_so_may_every_other_function(server, kind):
    answers = [
        await modern(server.user(), "resources/read", {"uri": f"fails://{kind}"}),
        await modern(server.user(), "prompts/get", {"name": "asked", "arguments": {"kind": kind}}),
        await modern(
            server.user(),
            "completion/complete",
            {
                "ref": {"type": "ref/prompt", "name": "asked"},
                "argument": {"name": "kind", "value": kind},
            },
        ),
    ]
    assert [reply.json()["error"]["code"] for reply in answers] == [-32603] * 3
    await assert_serves(server)


async def test_asyncio_within_a_tool_may_cancel_itself(tmp_path):
    app = failing_app()
    app.tool(name="asyncio")(cancelled_by_asyncio)
    app.tool(name="mixed")(mixed)
    async with serving(tmp_path, [app]) as server:
        for name in ("asyncio", "mixed"):
            reply = await modern(server.user(), "tools/call", {"name": name})
            assert reply.json()["result"]["isError"] is True
        await assert_serves(server)


async def test_a_cancelled_call_whose_cleanup_fails_is_cancelled(tmp_path):
    app, stopped = failing_app(), trio.Event()

    @app.tool
    async def stubborn(ctx: Context) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await ctx.report_progress(1, 2)
                await trio.sleep_forever()
            finally:
                stopped.set()
                raise OwnException

    async with serving(tmp_path, [app]) as server:
        client = HandshakeClient(server.user())
        await client.open()
        call = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "stubborn"}}
        await client.peer.begin("POST", "/mcp/", json=call, headers=client.headers)
        await trio.sleep(0.05)
        other = client.beside(server.user())
        await other.notify("notifications/cancelled", {"requestId": 9})
        with trio.fail_after(5):
            await stopped.wait()
        await assert_serves(server)


async def test_a_cancellation_that_was_kept_from_an_earlier_call_is_a_failure(tmp_path):
    """As of a cache that keeps how its first use ended, and raises it again."""
    app, kept = failing_app(), []

    async def remembers() -> str:
        if kept:
            raise kept[0]
        try:
            await trio.sleep_forever()
        except BaseException as error:
            kept.append(error)
            raise
        return ""

    app.tool(name="plain")(remembers)

    @app.tool
    async def speaking(ctx: Context) -> str:
        return await remembers()

    async with serving(tmp_path, [app]) as server:
        client = HandshakeClient(server.user())
        await client.open()
        call = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "plain"}}
        await client.peer.begin("POST", "/mcp/", json=call, headers=client.headers)
        await trio.sleep(0.05)
        other = client.beside(server.user())
        await other.notify("notifications/cancelled", {"requestId": 9})
        with trio.fail_after(5):
            await client.peer.reply()
        for tool in ("plain", "speaking"):
            reply = await other.call("tools/call", {"name": tool})
            assert b'"isError":true' in reply.body
        params = {"name": "streaming", "arguments": {"kind": "SystemExit"}}
        assert b'"isError":true' in (await other.call("tools/call", params)).body
        await assert_serves(server)
