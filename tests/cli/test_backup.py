"""A state directory as one file, and back."""

import io
import json
import os
import sqlite3
import tarfile
from contextlib import closing

import pytest

from mcpd.cli import main
from mcpd.errors import ConfigError
from mcpd.operations import backup
from mcpd.operations.backup import MANIFEST, back_up
from mcpd.operations.restore import restore
from mcpd.server.exit_codes import EXIT_CONFIG


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    (folder / "app").mkdir(parents=True)
    (folder / "servers").mkdir()
    (folder / "servers" / "1-ab").write_text("{}")
    (folder / "jwt-secret").write_text("s" * 40)
    (folder / "jwt-secret").chmod(0o600)
    (folder / "app" / "notes.txt").write_text("of an author")
    (folder / "link").symlink_to("/etc/passwd")
    with closing(sqlite3.connect(folder / "sessions.sqlite")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (1)")
        db.commit()
    return folder


def rows(folder):
    with closing(sqlite3.connect(folder / "sessions.sqlite")) as db:
        return [x for (x,) in db.execute("SELECT x FROM t ORDER BY x")]


def test_what_is_restored_is_what_was_there(state, tmp_path):
    file, again = tmp_path / "b.tar", tmp_path / "again"
    os.umask(0o022)
    manifest = back_up(state, file)
    assert file.stat().st_mode & 0o777 == 0o600
    names = sorted(one.name for one in manifest.files)
    assert names == ["app/notes.txt", "jwt-secret", "sessions.sqlite"]
    restore(file, again)
    assert (again / "app" / "notes.txt").read_text() == "of an author"
    assert (again / "jwt-secret").stat().st_mode & 0o777 == 0o600
    assert rows(again) == [1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "b.tar", "state"]


def test_a_database_that_is_written_is_copied_as_it_was_at_one_moment(state, tmp_path):
    with closing(sqlite3.connect(state / "sessions.sqlite", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO t VALUES (2)")
        back_up(state, tmp_path / "b.tar")
        writer.execute("COMMIT")
        back_up(state, tmp_path / "c.tar")
    restore(tmp_path / "b.tar", tmp_path / "b")
    restore(tmp_path / "c.tar", tmp_path / "c")
    assert rows(tmp_path / "b") == [1]
    assert rows(tmp_path / "c") == [1, 2]


def test_nothing_is_overwritten_unless_that_is_asked_for(state, tmp_path, capsys):
    file, words = tmp_path / "b.tar", ("--state-dir", str(state))
    assert main(["backup", str(file), *words]) == 0
    assert main(["backup", str(file), *words]) == EXIT_CONFIG
    assert main(["backup", str(file), "--force", *words]) == 0
    assert main(["restore", str(file), *words]) == EXIT_CONFIG
    assert "not empty" in capsys.readouterr().err
    (state / "app" / "notes.txt").write_text("newer")
    assert main(["restore", str(file), "--force", *words]) == 0
    assert (state / "app" / "notes.txt").read_text() == "of an author"
    (aside,) = state.glob(".mcpd-before-*")
    assert aside.stat().st_mode & 0o777 == 0o700
    assert (aside / "app" / "notes.txt").read_text() == "newer"


def damaged(file, change):
    """A backup in which one thing is another."""
    entries = []
    with tarfile.open(file) as tar:
        for entry in tar:
            data = tar.extractfile(entry)
            entries.append((entry, data.read() if data else b""))
    with tarfile.open(file, "w") as tar:
        for entry, data in change(entries):
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def with_other_content(entries):
    return [(e, b"X" * len(data) if e.name == "jwt-secret" else data) for e, data in entries]


def without_one(entries):
    return [(e, data) for e, data in entries if e.name != "jwt-secret"]


def with_one_more(entries):
    return [*entries, (tarfile.TarInfo("more"), b"x")]


def with_a_way_out(entries):
    manifest = json.loads(entries[0][1])
    found = []
    for entry, data in entries[1:]:
        if entry.name == "jwt-secret":
            entry.name = "../escaped"
        found.append((entry, data))
    for one in manifest["files"]:
        one["name"] = "../escaped" if one["name"] == "jwt-secret" else one["name"]
    return [(entries[0][0], json.dumps(manifest).encode()), *found]


def with_a_hole(entries):
    for entry, _ in entries:
        if entry.name == "jwt-secret":
            entry.type = tarfile.GNUTYPE_SPARSE
    return entries


def with_more_than_the_file_has(entries):
    manifest = json.loads(entries[0][1])
    for one in manifest["files"]:
        one["size"] = 1 << 40
    return [(entries[0][0], json.dumps(manifest).encode()), *entries[1:]]


def with_a_link(entries):
    for entry, _ in entries:
        if entry.name == "jwt-secret":
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/shadow"
    return entries


def of_the_future(entries):
    manifest = {**json.loads(entries[0][1]), "format": 99}
    return [(entries[0][0], json.dumps(manifest).encode()), *entries[1:]]


def without_manifest(entries):
    return [(e, data) for e, data in entries if e.name != MANIFEST]


@pytest.mark.parametrize(
    "change",
    [
        with_other_content, without_one, with_one_more, with_a_way_out, with_a_link, with_a_hole,
        with_more_than_the_file_has, of_the_future,
        without_manifest,
    ],
)  # fmt: skip
def test_a_backup_that_is_not_whole_changes_nothing(state, tmp_path, change):
    file = tmp_path / "b.tar"
    back_up(state, file)
    damaged(file, change)
    with pytest.raises(ConfigError):
        restore(file, state, replace=True)
    assert rows(state) == [1]
    assert not (tmp_path / "escaped").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "state"]


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100])
def test_what_is_no_backup_is_told(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ConfigError, match="no backup"):
        restore(tmp_path / "x", tmp_path / "s")


def test_a_file_that_grows_meanwhile_is_as_it_was(state, tmp_path, monkeypatch):
    growing = state / "calls.jsonl"
    growing.write_text("one\n")
    real = backup.digest_of

    def digest(path):
        with growing.open("a") as file:
            file.write("more\n")
        return real(path)

    monkeypatch.setattr(backup, "digest_of", digest)
    back_up(state, tmp_path / "b.tar")
    monkeypatch.undo()
    restore(tmp_path / "b.tar", tmp_path / "again")
    assert (tmp_path / "again" / "calls.jsonl").read_text().startswith("one\n")


def test_a_backup_is_not_put_into_what_is_backed_up(state):
    with pytest.raises(ConfigError, match="in what is backed up"):
        back_up(state, state / "b.tar")


def test_a_link_to_a_state_directory_stays_one(state, tmp_path):
    back_up(state, tmp_path / "b.tar")
    (tmp_path / "link").symlink_to(state)
    (state / "app" / "notes.txt").write_text("newer")
    restore(tmp_path / "b.tar", tmp_path / "link", replace=True)
    assert (tmp_path / "link").is_symlink()
    assert (state / "app" / "notes.txt").read_text() == "of an author"


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root")
def test_what_root_restores_belongs_to_the_service(state, tmp_path):
    back_up(state, tmp_path / "b.tar")
    folder = tmp_path / "service"
    folder.mkdir()
    os.chown(folder, 1000, 1000)
    restore(tmp_path / "b.tar", folder)
    assert (folder / "jwt-secret").stat().st_uid == 1000
    assert (folder / "app" / "notes.txt").stat().st_gid == 1000
