"""Lawful servers that have less than everything: what is optional is a skip with its reason."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
import trio

from mcpd.auth.client_token import ClientToken
from mcpd.http.origin import resolve_origin
from mcpd.replay.player import Player, play_all
from mcpd.replay.report import Verdict, as_text
from mcpd.replay.requirements import Needs, ServerProfile, missing, needs_of
from mcpd.replay.survey import NotThere, Where, survey
from mcpd.replay.transcript import read
from tests.end_to_end.daemon import Daemon
from tests.scripted_server import ScriptedServer, chunk, reply, stream_head

ROOT = Path(__file__).parents[2]
TRANSCRIPTS = ROOT / "conformance" / "transcripts"
SESSION = """mcpd transcript 1

> 1 POST /mcp/

{"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}

< 1 200
mcp-session-id: <session-1>

{"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-11-25", "serverInfo": "<any>"}}
"""
CALL = """
> 2 POST /mcp/
mcp-session-id: <session-1>

{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}}

< 2 200

{"jsonrpc": "2.0", "id": 1, "result": {"content": []}}
"""
END = """
> 3 DELETE /mcp/
mcp-session-id: <session-1>

< 3 200|202|204|405
"""
FORGET = """
> 1 forget

> 4 POST /mcp/
mcp-session-id: <session-1>

{"jsonrpc": "2.0", "id": 2, "method": "ping"}

< 4 404
"""
RESUMED = """
> 5 POST /mcp/
mcp-session-id: <session-1>

{"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "x"}}

< 5 200

< 5 event
id: <event-1>

< 5 end

> 6 GET /mcp/
mcp-session-id: <session-1>
last-event-id: <event-1>

< 6 200

< 6 event

{"jsonrpc": "2.0", "id": 3, "result": {"content": []}}
"""
PRIMED = """
> 7 POST /mcp/
mcp-session-id: <session-1>

{"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "x"}}

< 7 200

< 7 event
id: <event-1>

< 7 event

{"jsonrpc": "2.0", "id": 3, "result": {"content": []}}
"""


class Lawful:
    """A server of the handshake era; what is optional can be left out."""

    def __init__(self, *, sessions=True, delete=True, ids=True, resumes=True, version="2025-11-25"):
        self.scripted = ScriptedServer([self.play])
        self.sessions, self.delete, self.ids, self.resumes = sessions, delete, ids, resumes
        self.version = version
        self.ended = False

    async def play(self, stream):
        seen = self.scripted.seen[-1]
        if seen.method == "DELETE":
            self.ended = self.delete
            await stream.send_all(reply("200 OK" if self.delete else "405 Method Not Allowed"))
        elif seen.method == "GET":
            await stream.send_all(self.rest() if self.resumes else reply("405 Method Not Allowed"))
        elif self.ended and self.sessions and b"initialize" not in seen.body:
            await stream.send_all(reply("404 Not Found"))
        else:
            await self.answer(stream, msgspec.json.decode(seen.body))

    async def answer(self, stream, message):
        if message["method"] == "initialize":
            info = {"name": "x", "version": "1"}
            result = {"protocolVersion": self.version, "capabilities": {}, "serverInfo": info}
            named = {"mcp_session_id": "s1"} if self.sessions else {}
            body = {"jsonrpc": "2.0", "id": message["id"], "result": result}
            await stream.send_all(reply("200 OK", msgspec.json.encode(body), **named))
        elif "id" not in message:
            await stream.send_all(reply("202 Accepted"))
        elif message["id"] == 3:
            first = b"id: e1\ndata:\n\n" if self.ids else b": hello\n\n"
            await stream.send_all(stream_head() + chunk(first))
            if not self.ids or not self.resumes:
                await stream.send_all(chunk(self.result(3)))
            await stream.send_all(b"0\r\n\r\n")
        else:
            body = {"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}}
            await stream.send_all(reply("200 OK", msgspec.json.encode(body)))

    def result(self, request_id):
        return b'data: {"jsonrpc":"2.0","id":%d,"result":{"content":[]}}\n\n' % request_id

    def rest(self):
        return stream_head() + chunk(self.result(3)) + b"0\r\n\r\n"


@pytest.fixture
async def played(nursery):
    async def play(text, **features):
        server = Lawful(**features)
        await nursery.start(server.scripted.run)
        origin, path = resolve_origin(server.scripted.url)
        outcome = await Player(origin, path, "").play(read(text, "c/s"), limit_s=30)
        return outcome, server.scripted.seen

    return play


@pytest.mark.parametrize(
    ("text", "features", "reason"),
    [
        (RESUMED, {"ids": False}, "gives events no ids"),
        (RESUMED, {"resumes": False}, "resumes no streams"),
        (FORGET, {"delete": False}, "end sessions with DELETE"),
        (FORGET, {"sessions": False}, "has no sessions"),
        ("", {"version": "2025-06-18"}, "another revision (it need not know all): 2025-06-18"),
    ],
)
async def test_what_is_optional_is_a_skip_with_its_reason(played, text, features, reason):
    whole, _ = await played(SESSION + text)
    assert whole.passed, whole.mismatch  # a server that has it
    outcome, _ = await played(SESSION + text, **features)
    assert outcome.mismatch is None
    assert reason in outcome.skipped
    assert not outcome.passed


@pytest.mark.parametrize("features", [{"ids": False}, {"delete": False}, {"sessions": False}])
@pytest.mark.parametrize("text", [CALL + END, PRIMED])
async def test_what_is_optional_and_not_needed_changes_nothing(played, text, features):
    features = {"resumes": False, **features}
    outcome, _ = await played(SESSION + text, **features)
    assert outcome.passed, (outcome.mismatch, outcome.skipped)


async def test_a_client_of_a_server_without_sessions_names_none(played):
    outcome, seen = await played(SESSION + CALL + END, sessions=False)
    assert outcome.passed
    assert [one.method for one in seen] == ["POST", "POST"]
    assert not any("mcp-session-id" in one.headers for one in seen)


async def test_what_is_wrong_before_a_skip_is_a_failure(played, monkeypatch):
    monkeypatch.setattr(Lawful, "result", lambda *_: b'data: {"id":3,"result":{"content":[]}}\n\n')
    outcome, _ = await played(SESSION + RESUMED, ids=False)
    assert outcome.mismatch is not None
    assert '"jsonrpc": "2.0"' in outcome.mismatch.got
    assert not outcome.skipped


FULL = ServerProfile(
    "/mcp", handshake=True, modern=True, wants_token=True, streams=frozenset({"/sse"}),
    tools=frozenset({"t"}), resources=frozenset({"x://1", "y://{id}/data"}),
    prompts=frozenset({"p"}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("needs", "profile", "told"),
    [
        (Needs(modern=True), {"modern": False}, "does not speak 2026-07-28"),
        (Needs(handshake=True), {"handshake": False}, "has no handshake"),
        (Needs(stream="/sse"), {"streams": frozenset()}, "no HTTP+SSE at /sse"),
        (Needs(refusal=True), {"wants_token": False}, "wants no token"),
        (Needs(tools=frozenset({"t"})), {"tools": frozenset()}, "everything.py: t"),
        (Needs(prompts=frozenset({"p"})), {"prompts": frozenset()}, "everything.py: p"),
        (Needs(resources=frozenset({"y://7/data"})), {"resources": frozenset()}, "y://7/data"),
        (Needs(resources=frozenset({"x://1"})), {"resources": frozenset({"x.*"})}, "x://1"),
    ],
)
def test_which_transcripts_are_for_a_server(needs, profile, told):
    assert missing(needs, FULL) == ""
    assert told in missing(needs, replace(FULL, **profile))


def test_what_the_transcripts_of_the_repository_need():
    def of(name):
        return needs_of(read((TRANSCRIPTS / f"{name}.txt").read_text(), name))

    assert of("python-sdk-1/call") == Needs(handshake=True, tools=frozenset({"test_simple_text"}))
    assert of("python-sdk-1/no-token") == Needs(refusal=True)
    assert of("python-sdk-2-modern/call").modern
    assert of("python-sdk-1-sse/call").stream == of("python-sdk-1-sse/no-token").stream == "/sse"
    assert not of("python-sdk-1-sse/call").handshake
    assert "no_such_tool" not in of("python-sdk-1/error").tools | of("python-sdk-1-sse/error").tools


async def test_a_server_is_asked_what_it_has(nursery):
    server = Lawful(sessions=False)
    await nursery.start(server.scripted.run)
    origin, path = resolve_origin(server.scripted.url)
    profile = await survey(Where(origin, path, ClientToken(None, {})), {"/sse"})
    assert profile == ServerProfile("/mcp", handshake=True)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (reply("404 Not Found", b"<html>", kind="text/html"), "no MCP server at"),
        (reply("401 Unauthorized"), "wants a token (401)"),
        (reply("502 Bad Gateway", b"no upstream"), "502: no upstream"),
        (reply("200 OK", b"hello", kind="text/plain"), "no MCP (text/plain)"),
    ],
)
async def test_a_server_that_is_none_is_told_in_one_sentence(nursery, answer, told):
    server = await nursery.start(ScriptedServer([answer]).run)
    origin, path = resolve_origin(server.url)
    with pytest.raises(NotThere) as caught:
        await survey(Where(origin, path, ClientToken(None, {})))
    assert told in caught.value.message


async def test_a_server_that_says_nothing_is_told_so(nursery, monkeypatch):
    monkeypatch.setattr("mcpd.replay.survey.QUESTION_S", 0.2)

    async def silent(stream):
        await trio.sleep_forever()

    server = await nursery.start(ScriptedServer([silent]).run)
    origin, path = resolve_origin(server.url)
    with pytest.raises(NotThere, match="says nothing within"):
        await survey(Where(origin, path, ClientToken(None, {})))


async def test_the_endpoint_is_where_redirects_lead(nursery):
    server = Lawful()

    async def redirect(stream):
        if server.scripted.seen[-1].target == "/mcp":
            await stream.send_all(reply("307 Temporary Redirect", location="/mcp/"))
        else:
            await server.play(stream)

    server.scripted.answers = [redirect]
    await nursery.start(server.scripted.run)
    origin, path = resolve_origin(server.scripted.url)
    profile = await survey(Where(origin, path, ClientToken(None, {})))
    assert profile.target == "/mcp/"
    assert profile.handshake


async def test_a_server_that_goes_away_is_one_error(nursery):
    scope = trio.CancelScope()

    async def last(stream):
        await stream.send_all(reply("200 OK", b'{"jsonrpc":"2.0","id":1,"result":{"content":[]}}'))
        scope.cancel()

    async def serve(*, task_status):
        with scope:
            await server.run(task_status=task_status)

    server = ScriptedServer([last])
    await nursery.start(serve)
    origin, path = resolve_origin(server.url)
    text = "mcpd transcript 1\n" + CALL.replace("mcp-session-id: <session-1>\n", "")
    wanted = [read(text, f"c/{number}") for number in range(5)]
    played = await play_all(Player(origin, path, ""), wanted, 1)
    verdict = Verdict(played.outcomes, {}, error=played.gone)
    assert verdict.count("ERROR") == 1
    assert verdict.count("FAIL") <= 1  # the one that it died of
    assert "of 5 were not played" in as_text(verdict)
    assert not verdict.passed


def replay(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "mcpd", "replay", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_a_dead_server_is_one_error_in_every_report(tmp_path):
    reports = ("--report", tmp_path / "r.xml", "--report", tmp_path / "r.html", "--report", "-")
    done = replay(TRANSCRIPTS, "--url", "http://127.0.0.1:9/mcp", *reports)
    assert done.returncode == 1
    assert done.stderr == ""
    first, summary = done.stdout.splitlines()
    assert "ERROR server" in first
    assert "connection refused" in first
    assert summary == "0 passed, 0 failed, 0 known failures, and the server is not there"
    suite = ElementTree.parse(tmp_path / "r.xml").getroot()
    assert [suite.get(name) for name in ("tests", "failures", "errors")] == ["1", "0", "1"]
    assert "connection refused" in (tmp_path / "r.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "reasons"),
    [
        ([], ["needs the fixture"]),
        (["--auth", "none"], ["wants no token", "needs the fixture"]),
        (["--no-handshake"], ["no handshake", "no HTTP+SSE at /sse"]),
    ],
)
def test_a_server_without_the_fixture_or_an_era_fails_nothing(tmp_path, flags, reasons):
    with Daemon(tmp_path / "s", "--port", "0", *flags,
                "--registrations-per-minute", "10000") as daemon:  # fmt: skip
        (tmp_path / "token").write_text(daemon.token())
        where = ("--url", f"{daemon.base}/mcp/", "--token-file", tmp_path / "token")
        done = replay(TRANSCRIPTS, "--at-once", "8", *where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout
    for reason in reasons:
        assert reason in done.stdout
