"""A state directory as one file, consistent while servers use it; ``restore`` makes one of it.

The file is a tar: ``manifest.json`` with the digest of each file first, then the files. A database
is copied by SQLite's own backup, so what is in the copy was true at one moment; every database for
itself. All of it blocks.
"""

import errno
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
from pathlib import Path

import msgspec

from mcpd.errors import ConfigError, Unavailable
from mcpd.version import __version__

FORMAT = 1
MANIFEST = "manifest.json"
MAX_FILES = 100_000
MAX_MOMENT = 1e11
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 1024 * 1024
LEFT_OUT = ("servers", ".mcpd-")  # folders: they tell of processes, or are our own
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
        ConfigError: there is nothing to back up, or the file cannot be where it should.
        Unavailable: something could not be read or written; there is no file then.
    """
    if not folder.is_dir():
        raise ConfigError(f"There is no state directory {folder}.", fix="Give its --state-dir.")
    if not target.absolute().parent.is_dir():
        raise ConfigError(f"There is no folder {target.parent}.", fix="Make it first.")
    if target.exists() and not replace:
        raise ConfigError(f"{target} exists.", fix="Give another name, or --force.")
    if target.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{target} is in what is backed up.", fix="Give another folder.")
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".mcpd-backup-") as name:
            manifest = _write(folder, Path(name), partial)
        with tarfile.open(partial, mode="r:") as tar:
            _check(tar)
        os.replace(partial, target)
    except UnicodeEncodeError as error:
        raise ConfigError("The name of a file in it is no UTF-8.") from error
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"{folder} could not be backed up: {words_of(error)}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def _write(folder: Path, scratch: Path, partial: Path) -> Manifest:
    """What is in the backup is what was copied: files go on to change."""
    copies: list[tuple[BackedUp, Path]] = []
    for path in _files(folder):
        copy = scratch / str(len(copies))
        try:
            mode = path.stat().st_mode & 0o777
            if _is_sqlite(path):
                _copy_database(path, copy)
            else:
                _copy_file(path, copy)
        except FileNotFoundError:
            continue  # it is gone meanwhile
        digest, size = digest_of(copy)
        name = path.relative_to(folder).as_posix()
        copies.append((BackedUp(name, size, digest, mode), copy))
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


def _copy_file(path: Path, copy: Path) -> None:
    with path.open("rb") as source, copy.open("wb") as target:
        left = os.fstat(source.fileno()).st_size  # what comes behind that came later
        while left > 0 and (piece := source.read(min(left, PIECE_BYTES))):
            target.write(piece)
            left -= len(piece)


def _check(tar: tarfile.TarFile) -> None:
    """Read back what was written.

    Raises:
        OSError: it is not as it should be.
    """
    sizes = {file.name: file.size for file in read_manifest(tar).files}
    for entry in tar:
        if entry.name != MANIFEST and sizes.pop(entry.name, None) != entry.size:
            raise OSError(errno.EIO, "what was written cannot be read back")
    if sizes:
        raise OSError(errno.EIO, "what was written cannot be read back")


def _add(tar: tarfile.TarFile, name: str, data: io.BufferedIOBase, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = data.seek(0, os.SEEK_END)
    data.seek(0)
    entry.mode, entry.mtime = mode, int(time.time())
    tar.addfile(entry, data)


def _files(folder: Path) -> Iterator[Path]:
    """Regular files, links not followed, in the order of their names."""
    for top, folders, names in os.walk(folder):
        if Path(top) == folder:
            folders[:] = [name for name in folders if not name.startswith(LEFT_OUT)]
        folders.sort()
        for name in sorted(names):
            path = Path(top) / name
            is_file = path.is_file() and not path.is_symlink()
            if is_file and not name.endswith(_BESIDE):
                yield path


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC


def _copy_database(path: Path, copy: Path) -> None:
    source = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30.0)
    with closing(source), closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def digest_of(path: Path) -> tuple[str, int]:
    """SHA-256 of a file, and its size."""
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
    if first is None or first.name != MANIFEST or not is_plain(first):
        raise no_backup()
    if first.size > MAX_MANIFEST_BYTES:
        raise no_backup()
    data = tar.extractfile(first)
    try:
        manifest = msgspec.json.decode(data.read() if data else b"", type=Manifest)
    except msgspec.DecodeError as error:
        raise no_backup() from error
    if not 0 <= manifest.created < MAX_MOMENT or not manifest.version.isprintable():
        raise no_backup()
    if manifest.format != FORMAT:
        raise ConfigError(
            f"That backup was written by mcpd {manifest.version}, in a form that this one does not"
            " know.",
            fix="Restore it with that version or a newer one.",
        )
    return manifest


def is_plain(entry: tarfile.TarInfo) -> bool:
    """Whether it is a file with all its bytes: no link, no device, no hole."""
    return entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse()


def no_backup() -> ConfigError:
    """The file is something else."""
    return ConfigError("That is no backup of mcpd.", fix="mcpd backup FILE makes one.")


def words_of(error: Exception) -> str:
    """Why it failed."""
    return str(getattr(error, "strerror", None) or error)
