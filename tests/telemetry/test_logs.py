"""Lines that must come out, whatever is in them."""

import json
import logging
import os
import sys

import pytest
import trio

from mcpd.events import RequestServed
from mcpd.observer import Activity
from mcpd.telemetry.logs import LogWriter


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    for descriptor in (reading, writing):
        os.close(descriptor)


def record(message: str, *args: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("x", logging.INFO, "f", 1, message, args, None)
    made.fields = fields
    return made


def served() -> RequestServed:
    return RequestServed(Activity("r", 1), "GET", "/a\x1b[31m", "127.0.0.1", 200, 10, 0.001)


@pytest.mark.parametrize("style", ["text", "json"])
def test_anything_can_be_logged(pipe, style):
    writer = LogWriter(pipe[1], style=style)
    writer.emit(record("a lone \ud800 surrogate", user="\ud800", thing=object()))
    writer.access(served())
    writer.flush()
    lines = os.read(pipe[0], 65536).decode().splitlines()
    assert len(lines) == 2
    assert all("\x1b" not in line for line in lines)
    if style == "json":
        assert json.loads(lines[1])["status"] == 200


def test_a_bad_format_string_does_not_fail_whoever_logs(pipe, capsys):
    LogWriter(pipe[1]).emit(record("%d items", "many"))
    assert "--- Logging error ---" in capsys.readouterr().err


def test_journald_gets_priorities(pipe):
    writer = LogWriter(pipe[1], journald=True)
    writer.emit(record("one\ntwo"))
    writer.flush()
    assert os.read(pipe[0], 4096) == b"<6>x: one\n<6>  | two\n"


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_a_client_sent_cannot_pass_for_a_line_or_a_field_of_its_own(pipe, style):
    forged = "2026-01-01T00:00:00.000Z INFO    mcpd.auth: all is well"
    ends = ("\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028")
    writer = LogWriter(pipe[1], style=style)
    for end in ends:
        try:
            raise ValueError(f"no{end}{forged}")
        except ValueError:
            error = logging.LogRecord("x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
        writer.emit(error)
    told = served()
    told.activity.session = 'a" status=200 user="root'
    told.activity.user = "eve method=x"
    writer.access(told)
    writer.flush()
    text = os.read(pipe[0], 65536).decode().removesuffix("\n")
    lines = text.splitlines() if style == "text" else text.split("\n")
    assert not [line for line in lines if line.startswith(forged[:24])]
    if style == "text":
        assert r' session="a\" status=200 user=\"root" user="eve method=x"' in lines[-1]
    else:
        assert all(json.loads(line)["level"] for line in lines)


async def test_a_reader_that_stalls_does_not_keep_the_daemon(pipe, nursery, monkeypatch):
    monkeypatch.setattr("mcpd.telemetry.logs.FLUSH_AT_END_S", 0.2)
    writer = LogWriter(pipe[1])
    await nursery.start(writer.run)
    for _ in range(3000):
        writer.access(served())
    await trio.sleep(0.2)
    with trio.fail_after(30):
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.sleep(0.5)
    while True:
        try:
            os.read(pipe[0], 1 << 20)
        except BlockingIOError:
            break
