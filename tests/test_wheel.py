"""The wheel, unpacked elsewhere: what is installed has something to play, and a fixture."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mcpd.errors import ConfigError
from mcpd.replay.library import find, transcripts
from tests.end_to_end.daemon import Daemon, need

ROOT = Path(__file__).parents[1]
COUNT = len(list((ROOT / "conformance" / "transcripts").rglob("*.txt")))
MAX_WHEEL_BYTES = 1_000_000  # transcripts are text, and compress


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds the wheel's files and nothing of the checkout."""
    need(importlib.util.find_spec("hatchling") is not None, "hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    assert wheel.stat().st_size < MAX_WHEEL_BYTES
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(folder / "site")
    assert len(names) == len(set(names))
    return folder / "site"


def run(site, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "mcpd", *map(str, arguments)], cwd=site,
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip


@pytest.mark.slow
def test_an_installed_mcpd_plays_all_transcripts_against_its_own_fixture(installed, tmp_path):
    elsewhere = ("env", "-C", str(installed), f"PYTHONPATH={installed}")
    with Daemon(tmp_path / "s", "--port", "0", "--app", "mcpd.replay.fixture:app",
                "--registrations-per-minute", "10000",
                command=elsewhere) as daemon:  # fmt: skip
        (tmp_path / "token").write_text(daemon.token())
        where = ("--url", f"{daemon.base}/mcp/", "--token-file", tmp_path / "token")
        everything = run(installed, "replay", "--at-once", "8", *where)
        one = run(installed, "replay", "python-sdk-1/call", *where)
        client = run(installed, "replay", "zed", "ai-sdk", *where)
    assert f"{COUNT} passed, 0 failed" in everything.stdout, everything.stdout + everything.stderr
    assert one.stdout.splitlines()[-1].startswith("1 passed, 0 failed")
    assert "zed/connect" in client.stdout
    assert "python-sdk-1/" not in client.stdout


def test_a_checkout_has_one_copy(installed):
    assert transcripts() == ROOT / "conformance" / "transcripts"
    assert not (ROOT / "mcpd" / "conformance").exists()
    assert find("python-sdk-1/call") == transcripts() / "python-sdk-1" / "call.txt"
    packed = installed / "mcpd" / "conformance" / "transcripts"
    assert len(list(packed.rglob("*.txt"))) == COUNT


@pytest.mark.parametrize("name", ["no-such-client", "../everything", "/etc/no-such", "a b"])
def test_a_name_that_is_none_is_told_with_those_that_are(name):
    with pytest.raises(ConfigError) as caught:
        find(name)
    assert "python-sdk-1" in caught.value.fix
