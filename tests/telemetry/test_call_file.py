"""The call log as JSON lines, and what of arguments may stand in it."""

import json
import logging
import os
import subprocess
import sys

import pytest

from mcpd.config import Config
from mcpd.errors import StoreError
from mcpd.server.call_logging import open_call_log
from mcpd.telemetry.call_entry import MAX_ARGUMENT_CHARS, REDACTED, keeper_of
from mcpd.telemetry.call_file import CallFile
from mcpd.telemetry.call_log import CallLog
from mcpd.telemetry.call_table import read
from tests.telemetry.test_call_log import call


async def written(config: Config, *calls) -> None:
    log = open_call_log(config)
    for one in calls:
        log.call(one)
    await log._write()
    if log._table is not None:
        log._table.close()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_each_call_is_a_line_of_json(tmp_path):
    path = tmp_path / "calls.jsonl"
    config = Config(state_dir=tmp_path, call_log_file=str(path))
    await written(config, call(), call(is_error=True, arguments=b'{"a": 1}'))
    first, second = lines(path)
    assert (first["user"], first["target"], first["outcome"]) == ("alice", "add", "ok")
    assert (second["outcome"], second["arguments"]) == ("tool failed", "")
    assert path.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "calls.sqlite").exists()


async def test_a_large_file_makes_room_for_another(tmp_path):
    path = tmp_path / "calls.jsonl"
    config = Config(call_log_file=str(path), call_log_file_bytes=1000, call_log_files=2)
    for number in range(20):
        await written(config, call(target=f"t{number}"), call(target=f"t{number}"))
    names = sorted(found.name for found in tmp_path.iterdir())
    names.remove("calls.jsonl.lock")
    assert set(names) <= {"calls.jsonl", "calls.jsonl.1", "calls.jsonl.2"}
    assert {"calls.jsonl.1", "calls.jsonl.2"} <= set(names)
    kept = [line["target"] for name in reversed(names) for line in lines(tmp_path / name)]
    assert kept == sorted(kept, key=lambda target: int(target[1:]))
    assert kept[-1] == "t19"


async def test_in_the_log_they_are_lines_of_the_log(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    await written(Config(call_log_file="log"), call(client="x y"))
    (record,) = [record for record in caplog.records if record.name == "mcpd.calls.lines"]
    assert record.fields["user"] == "alice"
    assert record.fields["outcome"] == "ok"
    assert "code" not in record.fields


def test_a_file_behind_a_link_is_not_written(tmp_path):
    (tmp_path / "calls").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        CallFile(tmp_path / "calls", 10, 1).write([])
    assert not (tmp_path / "elsewhere").exists()


async def test_without_a_place_there_is_no_log():
    assert open_call_log(Config()) is None


def test_arguments_are_left_out_hashed_or_redacted():
    arguments = b'{"q": "x", "deep": [{"API_Key": "s3cret", "Card": 4111}], "password": {"a": 1}}'
    assert keeper_of("off", ())(arguments) == ""
    hashed = keeper_of("hashed", ())
    assert hashed(arguments) == hashed(bytes(arguments)) != hashed(b"{}")
    assert "x" not in hashed(b'"x"')[7:]
    told = keeper_of("redacted", ("card*",))(arguments)
    assert json.loads(told) == {
        "q": "x",
        "deep": [{"API_Key": REDACTED, "Card": REDACTED}],
        "password": REDACTED,
    }
    assert keeper_of("redacted", ())(b"{") == ""
    assert len(keeper_of("redacted", ())(json.dumps({"q": ["y" * 5000] * 50}).encode())) == (
        MAX_ARGUMENT_CHARS
    )


async def test_the_table_has_them_as_they_are_wanted(tmp_path):
    path = tmp_path / "calls.jsonl"
    config = Config(call_log_file=str(path), call_log_arguments="redacted", call_log_redact=("a",))
    await written(config, call(arguments=b'{"a": 1, "b": 2}'))
    assert json.loads(lines(path)[0]["arguments"]) == {"a": REDACTED, "b": 2}


async def test_one_place_that_takes_nothing_does_not_spoil_the_other(tmp_path, caplog):
    os.mkfifo(tmp_path / "pipe")
    config = Config(state_dir=tmp_path, call_log_rows=10, call_log_file=str(tmp_path / "pipe"))
    await written(config, call(target="kept"))
    assert "cannot be written" in caplog.text
    assert [entry.target for _, entry in read(tmp_path)] == ["kept"]


def test_half_a_line_is_not_left(tmp_path, monkeypatch):
    path = tmp_path / "calls"
    file = CallFile(path, 10_000, 1)
    path.write_bytes(b"before\n")
    real, told = os.write, []

    def full(descriptor, data):
        if told:
            raise OSError(28, "No space left on device")
        told.append(real(descriptor, data[:10]))
        return told[0]

    entry = entry_of(call())
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError):
        file.write([entry])
    monkeypatch.undo()
    file.write([entry])
    assert path.read_bytes().startswith(b"before\n{")
    assert len(path.read_text().splitlines()) == 2


def entry_of(served):
    log = CallLog(None)
    log.call(served)
    return log._waiting[0]


def test_processes_that_write_one_file_take_turns(tmp_path):
    code = (
        "import sys; from pathlib import Path; from mcpd.telemetry.call_file import CallFile;"
        "from tests.telemetry.test_call_file import entry_of, call;"
        "file = CallFile(Path(sys.argv[1]), 4000, 500); entry = entry_of(call(target=sys.argv[2]));"
        "[file.write([entry]) for _ in range(200)]"
    )
    path = tmp_path / "calls"
    command = [sys.executable, "-c", code, str(path)]
    running = [subprocess.Popen([*command, name]) for name in ("one", "two")]
    assert [process.wait(60) for process in running] == [0, 0]
    files = [found for found in tmp_path.iterdir() if found.suffix != ".lock"]
    assert sum(len(lines(found)) for found in files) == 400
    assert min(found.stat().st_size for found in files if found != path) >= 4000


@pytest.mark.parametrize(
    "arguments",
    [
        {"privateKey": "s3cret"}, {"x-api-key": "s3cret"}, {"passphrase": "s3cret"},
        {"Auth": "s3cret"}, {"headers": [{"name": "Authorization", "value": "s3cret"}]},
        {"text": "it is eyJhbGciOiJIUzI1NiJ9.s3cret.abc"}, {"h": "Bearer s3cret-s3cret"},
        {"deep": {"Client_Secret": {"a": ["s3cret"]}}},
    ],
)  # fmt: skip
def test_what_may_be_secret_is_not_kept(arguments):
    told = keeper_of("redacted", ())(json.dumps(arguments).encode())
    assert "s3cret" not in told
    assert REDACTED in told


async def test_large_arguments_are_told_by_their_size(tmp_path):
    path = tmp_path / "calls.jsonl"
    config = Config(call_log_file=str(path), call_log_arguments="redacted")
    big = json.dumps({str(n): n for n in range(100_000)}).encode()
    await written(config, call(arguments=big, size_in=len(big)), call(arguments=b'{"a": 1}'))
    assert [line["arguments"] for line in lines(path)] == [f"[{len(big)} bytes]", '{"a":1}']
