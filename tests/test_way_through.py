"""docs/ARCHITECTURE.md follows five requests through the code; here each is made and compared."""

import re
import sys
from pathlib import Path

import msgspec
import pytest

from mcpd import App, Context
from tests.bridged import bridged
from tests.in_process import modern, serving
from tests.mcp.everything import ANSWERS, CAPABLE, Capable
from tests.peer import parse_events
from tests.scripted_server import SessionServer

ROOT = Path(__file__).parent.parent
PICTURE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
MAX_FILES = 15  # that a stateless call passes


def steps(title: str) -> list[tuple[str, str]]:
    """The file and function of each step of a list."""
    part = PICTURE.partition(f"### {title}\n")[2].partition("\n#")[0]
    return re.findall(r"^\d+\. `([a-z0-9_/]+\.py)` `(\w+)`", part, re.MULTILINE)


class Trace:
    """The functions of mcpd that are called while the block runs."""

    def __init__(self) -> None:
        self.called: list[tuple[str, str]] = []

    def __enter__(self) -> "Trace":
        self._before = sys.getprofile()
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _note(self, frame, event, arg) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(str(ROOT / "mcpd")):
            self.called.append((path[len(str(ROOT / "mcpd")) + 1 :], frame.f_code.co_name))

    def follows(self, named: list[tuple[str, str]]) -> None:
        place = 0
        for step in named:
            later = self.called[place:]
            assert step in later, f"{step} is not called, or not here"
            place += later.index(step)


@pytest.fixture
async def server(tmp_path):
    app = App("followed")

    @app.tool
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @app.tool
    async def roots(ctx: Context) -> int:
        """Count the client's roots."""
        return len(await ctx.roots())

    async with serving(tmp_path, [app]) as server:
        yield server


async def test_one_stateless_call(server):
    peer, params = server.user(), {"name": "add", "arguments": {"a": 1, "b": 2}}
    await modern(peer, "tools/call", params)
    with Trace() as trace:
        assert (await modern(peer, "tools/call", params)).status == 200
    named = steps("One stateless call")
    trace.follows(named)
    assert len({file for file, _ in named}) <= MAX_FILES


async def ask(server) -> tuple[Capable, list[dict[str, str]]]:
    session = Capable(server)
    await session.open()
    peer = server.user()
    call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "roots"}}
    await peer.begin("POST", "/mcp/", json=call, headers=session.headers)
    await peer.head()
    events: list[dict[str, str]] = []
    while not any("roots/list" in event.get("data", "") for event in events):
        events += parse_events(await peer.piece() or b"")
    question = msgspec.json.decode(events[-1]["data"])
    answer = {"jsonrpc": "2.0", "id": question["id"], "result": ANSWERS[question["method"]]}
    posted = await server.user().request("POST", "/mcp/", json=answer, headers=session.headers)
    assert posted.status == 202
    while (piece := await peer.piece()) is not None:
        events += parse_events(piece)
    assert "result" in msgspec.json.decode(events[-1]["data"])
    return session, events


async def test_one_session_call_with_a_question(server):
    assert "roots" in CAPABLE
    with Trace() as trace:
        await ask(server)
    trace.follows(steps("One session call with a question"))


async def test_one_resumed_stream(server):
    session, events = await ask(server)
    headers = [*session.headers, ("last-event-id", events[0]["id"])]
    with Trace() as trace:
        reply = await server.user().request("GET", "/mcp/", headers=headers)
    assert reply.events()[-1]["data"] == events[-1]["data"]
    trace.follows(steps("One resumed stream"))


async def test_one_registration(server):
    with Trace() as trace:
        assert (await server.connect().request("POST", "/register", json={})).status == 200
    trace.follows(steps("One registration"))


async def test_one_bridge_exchange(nursery):
    server = SessionServer()
    await nursery.start(server.scripted.run)
    async with bridged(server.scripted) as client:
        await client.open()
        with Trace() as trace:
            assert (await client.ask(1))["result"] == {}
    trace.follows(steps("One bridge exchange"))


def test_every_list_has_steps():
    titles = re.findall(r"^### (One .*)$", PICTURE, re.MULTILINE)
    assert len(titles) == 5
    assert all(steps(title) for title in titles)
    with pytest.raises(AssertionError, match="is not called"):
        Trace().follows([("http/nothing.py", "nothing")])
