"""Opening a database file: alone or beside others, made, brought up to date, and able to shrink."""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mcpd.errors import ConfigError, McpdError, Unavailable
from mcpd.files import PRIVATE, open_private
from mcpd.start_failures import may_pass

log = logging.getLogger("mcpd.sqlite")

BUSY_TIMEOUT_S = 5.0  # for another process that holds the file
WAL_RETRY_S = 0.01
WAL_BYTES = 4 * 1024 * 1024  # kept of the write-ahead log between checkpoints
MAX_REBUILD_BYTES = 1024 * 1024 * 1024  # of a file that is made able to shrink: seconds at a start
# Primary result codes of SQLite after which opening the file may work later.
_PASSING = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
})  # fmt: skip
_INCREMENTAL = 2  # https://sqlite.org/pragma.html#pragma_auto_vacuum


def lock(path: Path) -> int:
    """Keep other processes out for as long as this one lives, however it ends."""
    descriptor = open_private(path.with_name(f"{path.name}.lock"), os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Unavailable(
            f"Another mcpd uses {path}.", fix="Stop that one, or give another --state-dir."
        ) from error
    return descriptor


def connect(path: Path) -> sqlite3.Connection:
    """A connection, not used yet. A new file is never readable by others, not even for a moment.

    Raises:
        sqlite3.Error, OSError: it cannot be used.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
    return sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )


def open_file(connection: sqlite3.Connection, path: Path) -> None:
    """Put the file into WAL mode. A new file can shrink. One that is in WAL mode is not written.

    Raises:
        sqlite3.Error, OSError: it cannot be used.
    """
    if connection.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:  # to set it writes
        connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")  # before there is a table
    _use_wal(connection)
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    connection.execute("PRAGMA foreign_keys = ON")
    path.chmod(PRIVATE)


def _use_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait here by itself when another process makes the same file."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(WAL_RETRY_S)


def prepare(
    connection: sqlite3.Connection,
    path: Path,
    schema: str,
    version: int,
    migrations: Mapping[int, str],
) -> None:
    """Make the tables, or bring them up to date; several processes may come here at once. A file
    that is as it should be is not written, so that a full disk keeps no server from starting.

    Raises:
        ConfigError: a newer mcpd wrote it.
        sqlite3.Error: it cannot be used.
    """
    connection.execute("PRAGMA synchronous = FULL")
    if _version(connection) == version:
        return
    connection.execute("BEGIN IMMEDIATE")
    found = _version(connection)  # another process may have been here
    if found > version:
        connection.execute("ROLLBACK")
        raise ConfigError(
            f"{path} was written by a newer mcpd (schema {found}, this one knows {version}).",
            fix="Run the newer mcpd, or move the file away.",
        )
    scripts = [schema] if found == 0 else [migrations[n] for n in range(found, version)]
    for script in scripts:
        for statement in script.split(";"):  # executescript would commit first
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def make_shrinkable(connection: sqlite3.Connection, path: Path) -> None:
    """Give a file that an older mcpd made what it takes to give pages back. It is written anew for
    that, once; where that fails it stays as it is until the next start.
    """
    mode, pages, page_bytes = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("auto_vacuum", "page_count", "page_size")
    )
    if mode == _INCREMENTAL:
        return
    if pages * page_bytes > MAX_REBUILD_BYTES:
        log.warning(
            "%s is too large to be made able to shrink at a start: while mcpd is stopped, run"
            " sqlite3 FILE 'PRAGMA auto_vacuum = INCREMENTAL; VACUUM'",
            path,
        )
        return
    try:
        connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        log.warning("%s cannot be made able to shrink for now: %s", path, error)


def opening_error(path: Path, error: sqlite3.Error | OSError) -> McpdError:
    """What is wrong with a file at the start, for the operator: Unavailable if it may pass by
    itself, else ConfigError.
    """
    reason = error.strerror if isinstance(error, OSError) else str(error)
    kind = ConfigError if _is_lasting(error) else Unavailable
    return kind(f"The database {path} cannot be used: {reason}.", fix=_mend(error, path))


def _is_lasting(error: Exception) -> bool:
    """Whether a person has to do something about the file before it can be opened."""
    if isinstance(error, OSError):
        return not may_pass(error)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without the extension
    return code not in _PASSING


def _mend(error: Exception, path: Path) -> str:
    text = str(error)
    if "malformed" in text or "not a database" in text:
        return f"Move {path} away and start again; what it held is lost to mcpd."
    if "locked" in text:
        return "Another process uses it. Stop that one, or give another --state-dir."
    return "Check the path, its permissions and the free space, or give another --state-dir."
