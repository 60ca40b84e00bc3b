"""What blocks is named in the log, with file and line, while it blocks."""

import json
import re
import signal
import subprocess
import sys

import pytest
import trio

from tests.end_to_end.daemon import Daemon
from tests.in_process import META, modern

pytestmark = pytest.mark.slow

APP = """
import time
from mcpd import App
app = App("blocking")

@app.tool
async def blocks(seconds: float) -> str:
    time.sleep(seconds)  # the line that blocks
    return "done"

@app.tool
def holds(seconds: float) -> str:
    time.sleep(seconds)  # the line that holds
    return "done"
"""


@pytest.fixture
def app(tmp_path):
    path = tmp_path / "blocking.py"
    path.write_text(APP)
    return path


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(APP.splitlines(), 1) if text in line)


async def call(daemon: Daemon, tool: str, seconds: float) -> None:
    peer = await daemon.connect(token=daemon.token())
    async with peer.stream:
        await modern(peer, "tools/call", {"name": tool, "arguments": {"seconds": seconds}})


async def test_a_blocked_event_loop_is_explained_while_it_is_blocked(tmp_path, app):
    with Daemon(tmp_path / "state", "--port", "0", "--app", f"{app}:app") as daemon:
        _ = daemon.port
        await call(daemon, "blocks", 3.0)
        place = rf"{app}:{line_of('the line that blocks')} in blocks"
        assert daemon.wait_for(rf"event loop has been blocked for [\d.]+ s by blocks, {place}")
        assert daemon.wait_for("the event loop turns again")


async def test_taken_threads_are_explained(tmp_path, app):
    flags = ("--port", "0", "--app", f"{app}:app", "--tool-threads", "2")
    with Daemon(tmp_path / "state", *flags) as daemon:
        _ = daemon.port
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(call, daemon, "holds", 4.0)
        daemon.wait_for(r"all 2 threads for tools are taken \(holds: 2\), and 2 calls wait")
        daemon.wait_for(rf"holds for [\d.]+ s, at {app}:{line_of('the line that holds')} in holds")


def test_a_blocked_server_on_stdio_explains_itself_as_well(tmp_path, app):
    params = {"name": "blocks", "arguments": {"seconds": 3.0}, "_meta": META}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    done = subprocess.run(
        [sys.executable, "-m", "mcpd", "serve", "--stdio", "--app", f"{app}:app",
         "--state-dir", str(tmp_path / "state")],
        input=json.dumps(call) + "\n", capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    place = f"{app}:{line_of('the line that blocks')} in blocks"
    assert re.search(rf"blocked for [\d.]+ s by blocks, {place}", done.stderr)


async def test_sigabrt_leaves_the_stacks(tmp_path, app):
    with Daemon(tmp_path / "state", "--port", "0", "--app", f"{app}:app") as daemon:
        _ = daemon.port
        daemon.send(signal.SIGABRT)
        daemon.wait()
        assert "most recent call first" in daemon.text()
