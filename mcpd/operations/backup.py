"""A state directory as one file, consistent while servers use it; and back.

The file is a tar: ``manifest.json`` with the digest of each file first, then the files. A database
is copied by SQLite's own backup, so what is in the copy was true at one moment; every database for
itself. All of it blocks.
"""

import hashlib
import io
import os
import secrets
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath

import msgspec

from mcpd.errors import ConfigError, Unavailable
from mcpd.version import __version__

FORMAT = 1
MANIFEST = "manifest.json"
MAX_FILES = 100_000
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 1024 * 1024
LEFT_OUT = ("servers",)  # folders: they tell of processes
_SQLITE_MAGIC = b"SQLite format 3\x00"
_BESIDE = ("-wal", "-shm", "-journal", ".lock", ".sock")


class BackedUp(msgspec.Struct):
    """One file of a backup."""

    name: str
    size: int
    sha256: str
    mode: int


class Manifest(msgspec.Struct):
    """What a backup has.

    Attributes:
        created: Unix seconds.
    """

    format: int
    version: str
    created: float
    files: list[BackedUp]


def back_up(folder: Path, target: Path, *, replace: bool = False) -> Manifest:
    """Write a state directory into a file that only its owner can read: secrets are in it.

    Raises:
        ConfigError: there is nothing to back up, or the file exists and is not to be replaced.
        Unavailable: something could not be read or written; there is no file then.
    """
    if not folder.is_dir():
        raise ConfigError(f"There is no state directory {folder}.", fix="Give its --state-dir.")
    if target.exists() and not replace:
        raise ConfigError(f"{target} exists.", fix="Give another name, or --force.")
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".mcpd-backup-") as name:
            manifest = _write(folder, Path(name), partial, target)
        os.replace(partial, target)
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"{folder} could not be backed up: {_words(error)}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def _write(folder: Path, scratch: Path, partial: Path, target: Path) -> Manifest:
    copies: list[tuple[BackedUp, Path]] = []
    for path in _files(folder, {partial.resolve(), target.resolve()}):
        name = path.relative_to(folder).as_posix()
        copy = path
        if _is_sqlite(path):
            copy = scratch / f"{len(copies)}.sqlite"
            _copy_database(path, copy)
        digest, size = _digest(copy)
        copies.append((BackedUp(name, size, digest, path.stat().st_mode & 0o777), copy))
    manifest = Manifest(FORMAT, __version__, time.time(), [file for file, _ in copies])
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w") as tar:
        _add(tar, MANIFEST, io.BytesIO(msgspec.json.encode(manifest)), 0o600)
        for file, copy in copies:
            with copy.open("rb") as data:
                _add(tar, file.name, data, file.mode)
        raw.flush()
        os.fsync(raw.fileno())
    return manifest


def _add(tar: tarfile.TarFile, name: str, data: io.BufferedIOBase, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = data.seek(0, os.SEEK_END)
    data.seek(0)
    entry.mode, entry.mtime = mode, int(time.time())
    tar.addfile(entry, data)


def _files(folder: Path, but: set[Path]) -> Iterator[Path]:
    """Regular files, links not followed, in the order of their names."""
    for top, folders, names in os.walk(folder):
        if Path(top) == folder:
            folders[:] = [name for name in folders if name not in LEFT_OUT]
        folders.sort()
        for name in sorted(names):
            path = Path(top) / name
            is_file = path.is_file() and not path.is_symlink()
            if is_file and not name.endswith(_BESIDE) and path.resolve() not in but:
                yield path


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC


def _copy_database(path: Path, copy: Path) -> None:
    source = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30.0)
    with closing(source), closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _digest(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def read_manifest(tar: tarfile.TarFile) -> Manifest:
    """What a backup says that it has.

    Raises:
        ConfigError: it is none, or one of a newer mcpd.
    """
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg():
        raise _no_backup()
    if first.size > MAX_MANIFEST_BYTES:
        raise _no_backup()
    data = tar.extractfile(first)
    try:
        manifest = msgspec.json.decode(data.read() if data else b"", type=Manifest)
    except msgspec.DecodeError as error:
        raise _no_backup() from error
    if manifest.format != FORMAT:
        raise ConfigError(
            f"That backup was written by mcpd {manifest.version}, in a form that this one does not"
            " know.",
            fix="Restore it with that version or a newer one.",
        )
    return manifest


def restore(source: Path, folder: Path, *, replace: bool = False) -> Manifest:
    """Make a state directory of a backup. Nothing is changed before all of it has been read and
    found to be whole.

    Args:
        replace: what is there already is moved into a folder beside it.

    Raises:
        ConfigError: the file is no backup, is damaged, or there is a state directory already.
        Unavailable: something could not be read or written.
    """
    there = folder.exists() and any(folder.iterdir())
    if there and not replace:
        raise ConfigError(
            f"{folder} is not empty.",
            fix="Give another --state-dir, or --force: what is there is kept beside it.",
        )
    parent = folder.resolve().parent
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".mcpd-restore-") as name:
            fresh = Path(name) / "state"
            fresh.mkdir(mode=0o700)
            with tarfile.open(source, mode="r:") as tar:
                manifest = read_manifest(tar)
                _unpack(tar, manifest, fresh)
            if there:
                stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
                os.replace(folder, folder.with_name(f"{folder.name}.before-{stamp}"))
            elif folder.exists():
                folder.rmdir()
            os.replace(fresh, folder)
    except tarfile.TarError as error:
        raise _no_backup() from error
    except OSError as error:
        raise Unavailable(f"{source} could not be restored: {_words(error)}.") from error
    return manifest


def _unpack(tar: tarfile.TarFile, manifest: Manifest, fresh: Path) -> None:
    wanted = {file.name: file for file in manifest.files}
    if len(wanted) > MAX_FILES:
        raise _no_backup()
    for entry in tar:
        if entry.name == MANIFEST:
            continue
        file, path = wanted.pop(entry.name, None), PurePosixPath(entry.name)
        unsafe = path.is_absolute() or ".." in path.parts or not entry.isreg()
        if file is None or unsafe or entry.size != file.size:
            raise _damaged(entry.name)
        target = fresh / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = tar.extractfile(entry)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            while data is not None and (piece := data.read(PIECE_BYTES)):
                out.write(piece)
        target.chmod(file.mode & 0o777)
        if _digest(target)[0] != file.sha256:
            raise _damaged(entry.name)
    if wanted:
        raise _damaged(next(iter(wanted)))


def _no_backup() -> ConfigError:
    return ConfigError("That is no backup of mcpd.", fix="mcpd backup FILE makes one.")


def _damaged(name: str) -> ConfigError:
    return ConfigError(f"The backup is damaged: {name[:100]!r} is not as it was written.")


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
