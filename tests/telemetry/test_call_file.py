"""The call log as JSON lines, and what of arguments may stand in it."""

import json
import logging

import pytest

from mcpd.config import Config
from mcpd.errors import StoreError
from mcpd.server.call_logging import open_call_log
from mcpd.telemetry.call_entry import MAX_ARGUMENT_CHARS, REDACTED, keeper_of
from mcpd.telemetry.call_file import CallFile
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
    assert set(names) <= {"calls.jsonl", "calls.jsonl.1", "calls.jsonl.2"}
    assert {"calls.jsonl.1", "calls.jsonl.2"} <= set(names)
    kept = [line["target"] for name in reversed(names) for line in lines(tmp_path / name)]
    assert kept == sorted(kept, key=lambda target: int(target[1:]))
    assert kept[-1] == "t19"


async def test_in_the_log_they_are_lines_of_the_log(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    await written(Config(call_log_file="log"), call(client="x y"))
    (record,) = [record for record in caplog.records if record.name == "mcpd.calls"]
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
