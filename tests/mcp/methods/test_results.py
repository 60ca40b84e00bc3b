"""Results and messages have a bound in bytes, told to the caller and to the author."""

import pytest

from mcpd import App, Context
from mcpd.errors import DeclarationError
from tests.in_process import HandshakeClient, modern, serving
from tests.mcp.everything import TASKS

KiB = 1024


def make_app() -> App:
    app = App("demo")

    @app.tool
    async def text(size: int) -> str:
        """So many bytes."""
        return "x" * size

    @app.tool(max_result_bytes=100 * KiB)
    async def allowed(size: int) -> str:
        """So many bytes."""
        return "x" * size

    @app.tool
    async def chatty(size: int, ctx: Context) -> str:
        """A large log message."""
        await ctx.log("info", "x" * size)
        return "said"

    @app.tool(task="optional")
    async def slow(size: int) -> str:
        """May be a task."""
        return "x" * size

    @app.resource("x://{size}")
    async def large(size: str) -> str:
        """So many bytes."""
        return "x" * int(size)

    return app


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path, [make_app()], max_result_bytes=10 * KiB) as server:
        yield server


async def call(server, name: str, size: int):
    params = {"name": name, "arguments": {"size": size}}
    return (await modern(server.user(), "tools/call", params)).json()["result"]


async def test_a_result_that_is_too_large_is_an_error_that_names_the_setting(server):
    assert (await call(server, "text", 5 * KiB))["isError"] is False
    refused = await call(server, "text", 10 * KiB)
    assert refused["isError"] is True
    assert "max_result_bytes" in refused["content"][0]["text"]
    client = HandshakeClient(server.user())
    await client.open()
    params = {"name": "text", "arguments": {"size": 10 * KiB}}
    assert (await client.call("tools/call", params)).json()["result"]["isError"] is True


async def test_a_tool_may_have_a_limit_of_its_own(server):
    assert (await call(server, "allowed", 50 * KiB))["isError"] is False
    assert (await call(server, "allowed", 100 * KiB))["isError"] is True


async def test_a_resource_that_is_too_large_is_an_error(server):
    reply = await modern(server.user(), "resources/read", {"uri": f"x://{10 * KiB}"})
    assert reply.json()["error"]["code"] == -32603
    assert "max_result_bytes" in reply.json()["error"]["message"]


async def test_the_result_of_a_task_has_the_bound_too(server):
    meta = {"io.modelcontextprotocol/clientCapabilities": TASKS}
    params = {"name": "slow", "arguments": {"size": 10 * KiB}}
    created = (await modern(server.user(), "tools/call", params, meta=meta)).json()["result"]
    (task,) = server.server.runtime.tasks._table.by_id.values()
    assert task.id == created["taskId"]
    while not task.terminal:
        await task.changed.wait()
    assert b"max_result_bytes" in bytes(task.result)


async def test_a_message_before_the_result_has_a_bound(server, monkeypatch):
    monkeypatch.setattr("mcpd.mcp.questions.conversation.MAX_MESSAGE_BYTES", 1000)
    params = {"name": "chatty", "arguments": {"size": 2000}}
    meta = {"io.modelcontextprotocol/logLevel": "debug"}
    reply = await modern(server.user(), "tools/call", params, meta=meta)
    assert "at most 1000 are sent" in reply.body.decode()


@pytest.mark.parametrize("value", [0, -1, True, "1"])
def test_an_option_that_is_no_size_is_refused(value):
    with pytest.raises(DeclarationError, match="max_result_bytes"):
        App("x").tool(name="x", max_result_bytes=value)(lambda: "")
