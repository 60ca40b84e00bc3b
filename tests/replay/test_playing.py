"""A real client is recorded before a real server, and played against real servers."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.end_to_end.daemon import Daemon, need

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FIXTURE = f"{ROOT}/conformance/everything.py:app"
CLIENT = """
import asyncio, os, httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

async def main():
    headers = {"Authorization": "Bearer " + os.environ["MCP_TOKEN"]}
    async with httpx.AsyncClient(headers=headers) as http:
        async with streamable_http_client(os.environ["MCP_URL"], http_client=http) as (r, w, _):
            async with ClientSession(r, w) as session:
                await session.initialize()
                await session.list_tools()
                both = [session.call_tool("test_tool_with_progress", progress_callback=note),
                        session.call_tool("test_simple_text")]
                await asyncio.gather(*both)
                await session.call_tool("no_such_tool")

async def note(progress, total, message):
    pass

try:
    asyncio.run(main())
except BaseException as error:
    pass
"""


def mcpd(*arguments, token="", check=True):
    done = subprocess.run(
        [sys.executable, "-m", "mcpd", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, **({"MCPD_TOKEN": token} if token else {})},
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    python = ROOT / ".clients" / "python-1" / "bin" / "python"
    need(python.exists(), "the Python SDK 1.x (run tests/clients/install)")
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "client.py").write_text(CLIENT)
    with Daemon(folder / "s", "--port", "0", "--app", FIXTURE) as daemon:
        token = daemon.token()
        flags = ("--upstream", f"{daemon.base}/mcp/", "--out", folder / "t", "--client", "sdk")
        command = ("--scenario", "calls", "--", python, folder / "client.py")
        mcpd("record", *flags, *command, token=token)
        yield folder, daemon, token


def test_a_recording_holds_the_conversation_and_no_token(recorded):
    folder, _, token = recorded
    text = (folder / "t" / "sdk" / "calls.txt").read_text()
    assert token not in text
    assert token.split(".")[2] not in text
    assert "authorization: Bearer <token>" in text
    assert text.count("> ") >= 7  # initialize, initialized, GET, list, two calls, a wrong one
    first, second = (text.index(f'"name": "{name}"') for name in
                     ("test_tool_with_progress", "test_simple_text"))  # fmt: skip
    assert "200\n" not in text[first:second]  # they were under way at once
    assert "notifications/progress" in text


def test_it_passes_against_the_server_that_was_recorded(recorded):
    folder, daemon, token = recorded
    flags = ("--url", f"{daemon.base}/mcp/")
    done = mcpd("replay", folder / "t", *flags, token=token)
    assert "1 passed, 0 failed" in done.stdout


def test_what_is_otherwise_is_told_and_counts(recorded, tmp_path):
    folder, daemon, token = recorded
    text = (folder / "t" / "sdk" / "calls.txt").read_text()
    wrong = tmp_path / "sdk" / "wrong.txt"
    wrong.parent.mkdir()
    wrong.write_text(text.replace('"code": -32602', '"code": -32000'))
    (tmp_path / "sdk" / "right.txt").write_text(text)
    flags = ("replay", tmp_path, "--url", f"{daemon.base}/mcp/")
    reports = ("--report", "-", "--report", tmp_path / "j.xml", "--report", tmp_path / "h.html")
    done = mcpd(*flags, *reports, token=token, check=False)
    assert done.returncode == 1
    assert "ok    sdk/right" in done.stdout
    assert "FAIL  sdk/wrong" in done.stdout
    assert "error.code is -32602, not -32000" in done.stdout
    assert "https://modelcontextprotocol.io/specification/2025-11-25/server/tools" in done.stdout
    suite = ElementTree.fromstring((tmp_path / "j.xml").read_text())
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert "sdk/wrong" in (tmp_path / "h.html").read_text()
    known = tmp_path / "known.cfg"
    known.write_text("sdk/wrong  the code is another one here\n")
    done = mcpd(*flags, "--expected", known, token=token)
    assert "1 passed, 0 failed, 1 known failures" in done.stdout
    known.write_text("sdk/wrong  as before\nsdk/right  it passes\n")
    done = mcpd(*flags, "--expected", known, token=token, check=False)
    assert (done.returncode, "STALE sdk/right" in done.stdout) == (1, True)


def test_a_server_that_is_not_there(recorded, unused_port):
    folder, _, _ = recorded
    there = f"http://127.0.0.1:{unused_port}/mcp/"
    done = mcpd("replay", folder / "t", "--url", there, check=False)
    assert (done.returncode, "connection refused" in done.stdout) == (1, True)
    assert "Is the server running" in done.stdout


CLOCK = """
import datetime, time, uuid
from mcpd import App

app = App("clock")

@app.tool
def test_clock() -> str:
    now = datetime.datetime.now()
    return f"It is {now}, {now:%H:%M:%S}, {time.time()}, {time.time_ns() // 10**6}: {uuid.uuid4()}"

@app.tool
def test_structured_clock() -> dict[str, float | str]:
    return {"now": time.time(), "at": str(datetime.datetime.now()), "id": str(uuid.uuid4())}
"""
CLOCK_CLIENT = """
import asyncio, os, httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

async def main():
    async with httpx.AsyncClient() as http:
        async with streamable_http_client(os.environ["MCP_URL"], http_client=http) as (r, w, _):
            async with ClientSession(r, w) as session:
                await session.initialize()
                await session.call_tool("test_clock")
                await session.call_tool("test_structured_clock")

asyncio.run(main())
"""


def test_a_recording_of_a_clock_passes_later_against_the_same_clock(tmp_path):
    python = ROOT / ".clients" / "python-1" / "bin" / "python"
    need(python.exists(), "the Python SDK 1.x (run tests/clients/install)")
    (tmp_path / "clock.py").write_text(CLOCK)
    (tmp_path / "client.py").write_text(CLOCK_CLIENT)
    app = ("--app", f"{tmp_path / 'clock.py'}:app", "--auth", "none")
    with Daemon(tmp_path / "s", "--port", "0", *app) as daemon:
        where = (
            "--upstream",
            f"{daemon.base}/mcp/",
            "--out",
            tmp_path / "t",
            "--scenario",
            "clock",
        )
        mcpd("record", *where, "--client", "sdk", "--", python, tmp_path / "client.py")
        text = (tmp_path / "t" / "sdk" / "clock.txt").read_text()
        done = mcpd("replay", tmp_path / "t", "--url", f"{daemon.base}/mcp/", check=False)
    assert text.count("<time>") >= 4
    assert "<uuid-1>" in text
    assert "1 passed, 0 failed" in done.stdout, done.stdout + text
