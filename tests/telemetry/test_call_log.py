"""Who called what, with what outcome; bounded, and of no harm when it cannot be written."""

import json
import logging
import time

import msgspec
import pytest
import trio

from mcpd import App
from mcpd.access.rules import read_rules
from mcpd.cli import main
from mcpd.errors import StoreError
from mcpd.events import CallServed, RequestServed
from mcpd.observer import Activity
from mcpd.server.exit_codes import EXIT_CONFIG
from mcpd.telemetry import call_entry, call_log, call_table
from mcpd.telemetry.call_log import CallLog
from mcpd.telemetry.call_table import CallTable, read
from tests.in_process import HandshakeClient, modern, serving
from tests.mcp.demo_app import make_app


def call(**changes) -> CallServed:
    given = {
        "activity": Activity("c", 1, user="alice"), "principal": " alice", "session": "s",
        "method": "tools/call", "target": "add", "code": 0, "is_error": False, "cancelled": False,
        "seconds": 0.25, "credential": "k1", "client": "cursor 1.2", "revision": "2026-07-28",
    }  # fmt: skip
    return CallServed(**{**given, **changes})


async def write(log: CallLog) -> None:
    await log._write()


def entries(folder):
    return [entry for _, entry in read(folder)]


@pytest.fixture
def log(tmp_path):
    log = CallLog(CallTable(tmp_path, 100))
    yield log
    log._table.close()


async def test_calls_over_http_are_written_with_their_outcomes(tmp_path, log):
    async with serving(tmp_path / "s", [make_app()]) as server:
        observer = server.server.runtime.observer
        observer.listen(CallServed, log.call)
        observer.listen(RequestServed, log.request)
        client = HandshakeClient(server.user())
        await client.open()
        await client.call("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
        await client.call("tools/call", {"name": "add", "arguments": {"a": "x", "b": 2}})
        await client.call("tools/call", {"name": "no such tool"})
        await client.call("no/such/method")
        await modern(server.connect(token="nonsense"), "tools/list")
        await modern(server.user("bob"), "tools/list")
    await write(log)
    seen = [(e.user, e.method, e.target, e.outcome) for e in entries(tmp_path)]
    assert seen == [
        ("alice", "tools/call", "add", "ok"),
        ("alice", "tools/call", "add", "tool failed"),
        ("alice", "tools/call", "", "error -32602"),
        ("alice", "_OTHER", "", "error -32601"),
        ("", "POST", "/mcp/", "HTTP 401"),
        ("bob", "tools/list", "", "ok"),
    ]
    first = entries(tmp_path)[0]
    assert (first.client, first.revision, first.session) == ("test 1", "2025-11-25", client.id)
    assert first.credential  # the token's jti
    assert time.time() - first.at < 60


async def test_the_newest_are_kept(tmp_path):
    log = CallLog(CallTable(tmp_path, 10))
    for number in range(25):
        log.call(call(target=f"t{number}"))
        if number % 7 == 0:
            await write(log)
    await write(log)
    assert [entry.target for entry in entries(tmp_path)] == [f"t{n}" for n in range(15, 25)]
    log._table.close()


async def test_a_flood_is_bounded_and_said(tmp_path, log, monkeypatch, caplog):
    log._waiting = call_log.deque(maxlen=5)
    monkeypatch.setattr(call_log, "MAX_WAITING", 5)
    for _ in range(8):
        log.call(call(client="x" * 5000))
    await write(log)
    assert "3 entries of the call log are lost" in caplog.text
    assert {len(entry.client) for entry in entries(tmp_path)} == {call_entry.MAX_TEXT_CHARS}


async def test_what_a_client_says_of_itself_draws_nothing_on_a_terminal(tmp_path, log, capsys):
    log.call(call(client="\x1b]0;x\x07\nroot  ok", target="\ud800"))
    await write(log)
    assert (entries(tmp_path)[0].client, entries(tmp_path)[0].target) == ("?]0;x??root  ok", "?")
    assert main(["calls", "--state-dir", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == 2
    assert shown.replace("\n", "").isprintable()


async def test_strangers_do_not_push_the_others_out(tmp_path, log):
    served = RequestServed(Activity("r", 1), "POST", "/mcp/", "192.0.2.1", 401, 9, 0.1)
    for _ in range(500):
        log.request(served)
    log.request(RequestServed(Activity("r", 2, user="bob"), "POST", "/mcp/", "", 403, 9, 0.1))
    await write(log)
    assert len(entries(tmp_path)) == call_log.STRANGERS_PER_S + 1


async def test_a_log_that_cannot_be_written_harms_nothing(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    (tmp_path / "f").write_text("")
    log = CallLog(CallTable(tmp_path / "f", 10))  # no folder
    log.call(call())
    await write(log)
    assert "cannot be written" in caplog.text
    log.call(call())
    await write(log)
    assert caplog.text.count("cannot be written") == 1  # said seldom


async def test_it_runs_and_writes_what_is_left_at_the_end(tmp_path, log, nursery):
    nursery.start_soon(log.run)
    log.call(call(target="first"))
    with trio.fail_after(10):
        while not (tmp_path / call_table.FILE).exists() or not entries(tmp_path):
            await trio.sleep(0.05)
    log.call(call(target="last"))
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        with trio.fail_after(10):
            while entries(tmp_path)[-1].target != "last":
                await trio.sleep(0.05)


def run(capsys, *words: str) -> tuple[int, str]:
    code = main(["calls", *words])
    return code, "".join(capsys.readouterr())


async def test_the_command_finds_what_is_asked_for(tmp_path, log, capsys):
    now = time.time()
    log._clock = lambda: now - 3600
    log.call(call(target="old"))
    log._clock = lambda: now
    log.call(call())
    log.call(call(target="slow", seconds=3.0, client="Claude Code 2"))
    log.call(call(target="bad", is_error=True, activity=Activity("c", 2, user="bob")))
    log.call(call(target="gone", cancelled=True))
    await write(log)
    state = ("--state-dir", str(tmp_path))

    def targets(*words: str) -> list[str]:
        code, said = run(capsys, "--json", *words, *state)
        assert code == 0
        return [json.loads(line)["target"] for line in said.splitlines()]

    assert targets() == ["old", "add", "slow", "bad", "gone"]
    assert targets("--last", "2") == ["bad", "gone"]
    assert targets("--user", "bob") == ["bad"]
    assert targets("--client", "claude") == ["slow"]
    assert targets("--tool", "add") == ["add"]
    assert targets("--failed") == ["bad", "gone"]
    assert targets("--slower", "2s") == ["slow"]
    assert targets("--since", "15m") == ["add", "slow", "bad", "gone"]
    assert targets("--failed", "--user", "alice") == ["gone"]
    _, shown = run(capsys, *state)
    assert "tools/call slow" in shown
    assert "3000.0" in shown
    assert "cancelled" in shown


def test_without_a_log_the_command_says_how_to_turn_it_on(tmp_path, capsys):
    code, said = run(capsys, "--state-dir", str(tmp_path))
    assert code == EXIT_CONFIG
    assert "--call-log-rows" in said


def test_a_broken_file_is_told(tmp_path, capsys):
    (tmp_path / call_table.FILE).write_text("no database at all, but long enough to be looked at")
    code, said = run(capsys, "--state-dir", str(tmp_path))
    assert code == EXIT_CONFIG
    assert "cannot be read" in said


async def test_a_store_error_is_no_end(tmp_path, log, monkeypatch):
    log.call(call())
    await write(log)

    async def fail(*args: object, **options: object) -> None:
        raise StoreError("full", lasting=True)

    with monkeypatch.context() as broken:
        broken.setattr(log._table.database, "write", fail)
        log.call(call(target="lost"))
        await write(log)
    log.call(call(target="kept"))
    await write(log)
    assert [entry.target for entry in entries(tmp_path)] == ["add", "kept"]


async def test_refusals_name_their_reason_their_user_and_their_credential(tmp_path, log):
    rules = read_rules(
        {"limits": {"calls_per_day": 1}, "roles": {"r": {}}, "users": {"alice": ["r"]}}, "a test"
    )
    app = App("refusing")

    @app.tool(scopes=["files:write"])
    def put() -> str:
        return "put"

    @app.tool
    def get() -> str:
        return "get"

    rules = msgspec.structs.replace(
        rules, roles={"r": msgspec.structs.replace(rules.roles["r"], scopes=("files:write",))}
    )
    async with serving(tmp_path / "s", [app], access=rules) as server:
        observer = server.server.runtime.observer
        observer.listen(CallServed, log.call)
        observer.listen(RequestServed, log.request)
        await modern(server.user(), "tools/call", {"name": "put"})
        for _ in range(2):
            await modern(server.user(), "tools/call", {"name": "get"})
        await modern(server.user("carol"), "tools/list")
    await write(log)
    seen = [(e.user, e.client, e.target, e.outcome) for e in entries(tmp_path)]
    assert seen == [
        ("alice", "test 1", "put", "HTTP 403 insufficient_scope"),
        ("alice", "test 1", "get", "ok"),
        ("alice", "test 1", "get", "HTTP 429 calls_per_day"),
        ("carol", "", "/mcp/", "HTTP 403"),
    ]
    assert all(entry.credential for entry in entries(tmp_path))
