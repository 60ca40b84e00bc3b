"""The bridge between a client that starts children and a real server."""

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import trio

from tests.bridge.child import ANSWER_S, bridge
from tests.end_to_end.daemon import Daemon, free_port, need

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FIXTURE = f"{ROOT}/conformance/everything.py:app"
MODERN_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def serve(tmp_path, port, *flags):
    return Daemon(tmp_path / "s", "--port", str(port), "--app", FIXTURE, *flags)


@pytest.fixture
def daemon(tmp_path):
    with serve(tmp_path, 0) as daemon:
        daemon.wait_for("listening on")
        yield daemon


def url(daemon):
    return f"{daemon.base}/mcp/"


async def test_a_session_from_its_beginning_to_its_end(daemon, tmp_path):
    async with bridge(tmp_path / "b", url(daemon), token=daemon.token()) as child:
        hello = await child.open(elicitation={})
        assert hello["result"]["protocolVersion"] == "2025-11-25"
        assert (await child.tool("test_simple_text"))["result"]["isError"] is False
        wrong = await child.call("no/such/method")
        assert wrong["error"]["code"] == -32601
        listed = subprocess.run(
            [sys.executable, "-m", "mcpd", "sessions", "list", "--json", "--state-dir",
             str(daemon.state_dir)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert "mcpd-bridge" in listed  # the clientInfo that the client left out
        assert await child.end() == 0
    daemon.wait_for(r"DELETE /mcp/ status=20")


async def test_answers_come_as_they_are_done_and_large_ones_whole(daemon, tmp_path):
    async with bridge(tmp_path / "b", url(daemon), token=daemon.token()) as child:
        await child.open()
        slow = await child.begin(
            "tools/call", {"name": "test_slow", "arguments": {"seconds": 1, "key": "k"}}
        )
        big = "x" * 3_000_000
        quick = await child.tool("greet", name=big)
        assert big in quick["result"]["content"][0]["text"]
        assert "result" in await child.answer_to(slow)


async def test_what_is_no_message_is_answered_and_nothing_else_is_written(daemon, tmp_path):
    async with bridge(tmp_path / "b", url(daemon), token=daemon.token()) as child:
        await child.open()
        await child.write(b"this is no JSON")
        assert (await child.read())["error"]["code"] == -32700
        await child.write(b'{"jsonrpc":"1.0","id":"x","method":"ping"}')
        refused = await child.read()
        assert (refused["id"], refused["error"]["code"]) == ("x", -32600)
        await child.write(b" ")
        assert "result" in await child.call("ping")


async def test_cancellation_in_both_eras(daemon, tmp_path):
    async with bridge(tmp_path / "b", url(daemon), token=daemon.token()) as child:
        arguments = {"name": "test_slow", "arguments": {"seconds": 30, "key": "m"}}
        modern = await child.begin("tools/call", {**arguments, "_meta": MODERN_META})
        await trio.sleep(0.3)
        await child.send(method="notifications/cancelled", params={"requestId": modern})
        await child.open()
        old = await child.begin("tools/call", arguments)
        await trio.sleep(0.3)
        await child.send(method="notifications/cancelled", params={"requestId": old})
        with trio.fail_after(30):
            while "cancelled" not in str(await child.tool("test_slow_status", key="m")):
                await trio.sleep(0.1)
        assert not any(message.get("id") in (modern, old) for message in child._arrived)


async def test_the_modern_era_with_its_headers_and_subscriptions(daemon, tmp_path):
    async with bridge(tmp_path / "b", url(daemon), token=daemon.token()) as child:
        found = await child.call("server/discover", {"_meta": MODERN_META})
        assert "2026-07-28" in found["result"]["supportedVersions"]
        assert "result" in await child.call("tools/list", {"_meta": MODERN_META})
        called = await child.call(
            "tools/call",
            {"name": "test_header_mirror", "_meta": MODERN_META,
             "arguments": {"region": "eu wést", "dry_run": True}},
        )  # fmt: skip
        assert "error" not in called, called
        wanted = {"toolsListChanged": True, "resourceSubscriptions": []}
        await child.begin("subscriptions/listen", {"notifications": wanted, "_meta": MODERN_META})
        await child.other("notifications/subscriptions/acknowledged")
        await child.call("tools/call", {"name": "test_trigger_tool_change", "_meta": MODERN_META})
        await child.other("notifications/tools/list_changed")


async def test_a_server_that_comes_late(tmp_path):
    port = free_port()
    with serve(tmp_path, 0) as first:  # for a token of this state directory
        token = first.token()
    async with bridge(tmp_path / "b", f"http://127.0.0.1:{port}/mcp/", token=token) as child:
        waiting = await child.begin("initialize", {"protocolVersion": "2025-11-25",
                                                   "capabilities": {}})  # fmt: skip
        await trio.sleep(0.5)
        with serve(tmp_path, port):
            assert "result" in await child.answer_to(waiting)


async def test_a_server_that_never_comes(tmp_path, unused_port):
    there = f"http://127.0.0.1:{unused_port}/mcp/"
    async with bridge(tmp_path / "b", there, "--wait", "1") as child:
        told = (await child.open())["error"]["message"]
        assert there in told
        assert "connection refused" in told
        assert "times in" in told
        later = await child.call("ping")
        assert "connection refused" in later["error"]["message"]
        assert await child.end() == 0


async def test_a_session_that_the_server_lost_is_begun_again(tmp_path):
    """A restart of a server without a memory: the client goes on, with what it had set up."""
    port = free_port()
    daemon = serve(tmp_path, port, "--store", "memory")
    try:
        token = daemon.token()
        async with bridge(tmp_path / "b", url(daemon), token=token) as child:
            await child.open()
            await child.call("resources/subscribe", {"uri": "test://watched-resource"})
            await child.call("logging/setLevel", {"level": "debug"})
            for _ in range(2):
                daemon.kill()
                daemon = serve(tmp_path, port, "--store", "memory")
                daemon.wait_for("listening on")
                calls = [await child.begin("ping") for _ in range(5)]
                for one in calls:
                    assert "result" in await child.answer_to(one)
                await child.other("notifications/tools/list_changed")
                await trio.sleep(0.3)
                update = {"uri": "test://watched-resource"}
                await child.tool("test_trigger_resource_update", **update)
                await child.other("notifications/resources/updated")
    finally:
        daemon.kill()


async def test_a_call_goes_on_over_a_restart(tmp_path):
    """The stream of the call breaks with its server, and is taken up again at the next one."""
    port = free_port()
    with serve(tmp_path, port) as daemon:
        token = daemon.token()
        async with bridge(tmp_path / "b", url(daemon), token=token) as child:
            await child.open()
            called = await child.begin(
                "tools/call", {"name": "test_tool_with_progress", "_meta": {"progressToken": "p"}}
            )
            await child.other("notifications/progress")
            daemon.kill()
            with serve(tmp_path, port):
                answer = await child.answer_to(called)
                assert "result" in answer
                assert "result" in await child.call("ping")


async def test_a_question_of_the_server_and_its_answer(daemon, tmp_path):
    async with bridge(tmp_path / "b", url(daemon), token=daemon.token()) as child:
        await child.open(elicitation={"form": {}})
        called = await child.begin(
            "tools/call", {"name": "test_elicitation", "arguments": {"message": "who?"}}
        )
        asked = await child.other("elicitation/create")
        content = {"username": "ada", "email": "a@b.c"}
        await child.send(id=asked["id"], result={"action": "accept", "content": content})
        assert "ada" in str((await child.answer_to(called))["result"])


async def test_a_token_that_is_replaced_on_disk(daemon, tmp_path):
    file = tmp_path / "token"
    file.write_text(daemon.token(ttl="1s"))
    await trio.sleep(2.1)
    daemon.stop()
    with serve(tmp_path, 0, "--jwt-leeway-s", "0") as strict:
        flags = (url(strict), "--token-file", str(file))
        async with bridge(tmp_path / "b", *flags) as child:
            refused = (await child.open())["error"]["message"]
            assert f"the file {file}" in refused
            assert "401" in refused
            assert "expired" in refused
            assert file.read_text() not in child.log.read_text() + refused
            file.write_text(strict.token())
            assert "result" in await child.open()
            assert "result" in await child.call("tools/list")


async def test_without_a_token_the_error_says_how_to_give_one(daemon, tmp_path):
    async with bridge(tmp_path / "b", url(daemon)) as child:
        told = (await child.open())["error"]["message"]
        assert "--token-file" in told
        assert "MCPD_TOKEN" in told


async def test_over_a_unix_socket(tmp_path):
    path = tmp_path / "mcpd.sock"
    with Daemon(tmp_path / "s", "--unix", str(path), "--app", FIXTURE) as daemon:
        daemon.wait_for("listening on unix:")
        async with bridge(tmp_path / "b", "--unix", str(path), token=daemon.token()) as child:
            await child.open()
            assert "result" in await child.call("tools/list")


async def test_a_signal_ends_it_like_the_end_of_stdin(daemon, tmp_path):
    async with bridge(tmp_path / "b", url(daemon), token=daemon.token()) as child:
        await child.open()
        child.process.send_signal(signal.SIGTERM)
        with trio.fail_after(ANSWER_S):
            assert await child.process.wait() == 0


async def test_stdin_that_ends_while_the_server_is_away(tmp_path, unused_port):
    async with bridge(tmp_path / "b", f"http://127.0.0.1:{unused_port}/") as child:
        await child.begin("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
        await child.logged("waiting: ")
        assert child.process.stdin is not None
        await child.process.stdin.aclose()
        told = await child.read()
        assert told["id"] == 1
        assert "stdin ended before the answer came" in told["error"]["message"]
        assert "connection refused" in told["error"]["message"]
        with trio.fail_after(ANSWER_S):
            assert await child.process.wait() == 0


OLD_SERVER = """
import sys
from mcp.server.fastmcp import FastMCP
app = FastMCP("old", port=int(sys.argv[1]), sse_path="/mcp/")

@app.tool()
def greet(name: str) -> str:
    return "hello " + name

app.run(transport="sse")
"""


async def test_a_server_that_knows_http_sse_alone(tmp_path, nursery):
    python = ROOT / ".clients" / "python-1" / "bin" / "python"
    need(python.exists(), "the Python SDK 1.x (run tests/clients/install)")
    (tmp_path / "old.py").write_text(OLD_SERVER)
    port = free_port()
    command = [str(python), str(tmp_path / "old.py"), str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        async with bridge(tmp_path / "b", f"http://127.0.0.1:{port}/mcp/") as child:
            hello = await child.open("2025-06-18")
            assert hello["result"]["serverInfo"]["name"] == "old"
            called = await child.tool("greet", name="ada")
            assert called["result"]["content"][0]["text"] == "hello ada"
            assert await child.end() == 0
    finally:
        server.kill()
        server.wait()


def test_settings_that_cannot_be_used(tmp_path):
    def run(*flags, **environ):
        done = subprocess.run(
            [sys.executable, "-m", "mcpd", "bridge", "--state-dir", str(tmp_path), *flags],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environ,
        )  # fmt: skip
        assert done.stdout == ""
        return done.returncode, done.stderr

    code, told = run("--token-file", "/nonexistent")
    assert (code, "cannot be read" in told) == (78, True)
    code, told = run("nonsense")
    assert (code, "must begin with http" in told) == (78, True)
    code, told = run("https://mcp.test/", HTTPS_PROXY="socks5://u:secret@p:1")
    assert (code, "HTTPS_PROXY" in told, "secret" in told) == (78, True, False)
    code, told = run("--header", "Bad Name=x")
    assert code == 78
    assert msgspec.json.encode(told)
