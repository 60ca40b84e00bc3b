"""Every transcript of the repository, against mcpd with the fixture."""

import subprocess
import sys
from pathlib import Path

import pytest

from mcpd.replay.scrub import Scrubber
from mcpd.replay.transcript import read, write
from tests.end_to_end.daemon import Daemon

ROOT = Path(__file__).parents[2]
TRANSCRIPTS = ROOT / "conformance" / "transcripts"
FILES = sorted(TRANSCRIPTS.rglob("*.txt"))
LIMIT_S = 120


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_transcript_is_well_formed_and_holds_no_secret(file):
    text = file.read_text()
    transcript = read(text, file.name)
    assert {"client", "scenario", "date", "command", "server"} <= set(transcript.head)
    assert "eyJ" not in text
    if "documented" in file.parts:
        assert "# source: https://" in text
    else:
        assert write(transcript) == text


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_what_is_written_of_a_transcript_is_the_transcript(file):
    """A recording of today would say the same: nothing in it is taken for a secret. An argument
    called ``key`` is another one each time.
    """
    scrubber = Scrubber([], "http://127.0.0.1:1")
    for entry in read(file.read_text(), file.name).entries:
        assert scrubber.text(entry.target) == entry.target
        assert scrubber.text(entry.text) == entry.text
        for name, value in entry.fields:
            if name not in ("authorization", "mcp-session-id"):
                assert scrubber.field(name, value) == (name, value)
        written = scrubber.body(entry.body, sent=entry.kind == "request")
        assert without_keys(written) == without_keys(entry.body)


def without_keys(value):
    if isinstance(value, dict):
        return {k: "" if k == "key" else without_keys(v) for k, v in value.items()}
    return [without_keys(v) for v in value] if isinstance(value, list) else value


@pytest.mark.slow
def test_every_transcript_passes(tmp_path):
    with Daemon(tmp_path / "s", "--port", "0", "--app", f"{ROOT}/conformance/everything.py:app",
                "--registrations-per-minute", "10000") as daemon:  # fmt: skip
        (tmp_path / "token").write_text(daemon.token())
        done = subprocess.run(
            [sys.executable, "-m", "mcpd", "replay", str(TRANSCRIPTS), "--at-once", "8",
             "--url", f"{daemon.base}/mcp/", "--token-file", str(tmp_path / "token")],
            capture_output=True, text=True, check=False, timeout=LIMIT_S,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(FILES)} passed, 0 failed" in done.stdout
