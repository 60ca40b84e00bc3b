"""Files that mcpd writes: no link leads them elsewhere, and no other user reads them."""

import os
import stat
import subprocess
import sys

import pytest

from mcpd.cli.bridge import MAX_LOG_BYTES
from mcpd.cli.client_config import merge
from mcpd.errors import ConfigError
from mcpd.files import open_private, write_private
from mcpd.sqlite import Database


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def bridge(log, *, stdin=b""):
    """Run the bridge until its stdin ends."""
    return subprocess.run(
        [sys.executable, "-m", "mcpd", "bridge", "http://127.0.0.1:9/mcp", "--wait", "0",
         "--log-file", str(log), "--state-dir", str(log.parent / "state")],
        input=stdin, capture_output=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_log_of_the_bridge_follows_no_link(tmp_path):
    victim, log = tmp_path / "victim", tmp_path / "bridge.log"
    victim.write_text("kept")
    log.symlink_to(victim)
    done = bridge(log)
    assert done.returncode != 0
    assert b"symbolic link" in done.stderr
    assert victim.read_text() == "kept"
    log.unlink()
    log.symlink_to(tmp_path / "nothing")
    assert bridge(log).returncode != 0
    assert not (tmp_path / "nothing").exists()


def test_the_log_of_the_bridge_is_a_regular_file(tmp_path):
    log = tmp_path / "bridge.log"
    os.mkfifo(log)
    done = bridge(log)  # and does not wait for a reader
    assert done.returncode != 0
    assert b"no regular file" in done.stderr


def test_the_log_of_the_bridge_is_for_its_owner_alone(tmp_path):
    log = tmp_path / "bridge.log"
    log.write_text("x" * (MAX_LOG_BYTES + 1))
    log.chmod(0o644)
    assert bridge(log).returncode == 0
    assert mode(log) == 0o600
    assert mode(tmp_path / "bridge.log.1") == 0o600
    assert log.stat().st_size < MAX_LOG_BYTES
    log.chmod(0o644)
    assert bridge(log).returncode == 0
    assert mode(log) == 0o600


def test_a_whole_file_replaces_a_link(tmp_path):
    victim, file = tmp_path / "victim", tmp_path / "file"
    victim.write_text("kept")
    file.symlink_to(victim)
    write_private(file, "fresh")
    assert (victim.read_text(), file.read_text(), mode(file)) == ("kept", "fresh", 0o600)
    assert not file.is_symlink()


def test_a_device_is_no_file(tmp_path):
    with pytest.raises(OSError, match="no regular file"):
        open_private(tmp_path.__class__("/dev/null"), os.O_WRONLY)


def test_the_lock_of_a_database_follows_no_link(tmp_path):
    (tmp_path / "x.db.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(ConfigError):
        Database(tmp_path / "x.db", "")
    assert not (tmp_path / "victim").exists()


def test_a_database_is_private_from_its_first_moment(tmp_path, monkeypatch):
    seen = []

    def look(path, *args, **kwargs):
        seen.append(mode(path) if path.exists() else None)
        return connect(path, *args, **kwargs)

    connect = __import__("sqlite3").connect
    monkeypatch.setattr("mcpd.sqlite.opening.sqlite3.connect", look)
    Database(tmp_path / "x.db", "CREATE TABLE t (n)").close()
    assert seen == [0o600]


def test_the_backup_of_a_configuration_is_as_private_as_the_file(tmp_path):
    path = tmp_path / "client.json"
    path.write_text("{}")
    path.chmod(0o644)
    backup = merge(path, "mcpServers", "mcpd", {"token": "t"})
    assert (mode(path), mode(backup)) == (0o600, 0o600)
    assert backup.read_text() == "{}"
