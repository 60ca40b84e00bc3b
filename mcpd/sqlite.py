"""SQLite for a Trio program: one connection, one thread at a time, commits in groups.

Writers that arrive while a transaction runs are carried out together in the next one, so a
thousand registrations a second cost a few fsyncs, and each is on disk before it is answered.
In WAL mode a FULL commit also makes every NORMAL one before it durable.
"""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import trio

from mcpd.errors import ConfigError, StoreError, Unavailable
from mcpd.files import PRIVATE, open_private
from mcpd.start_failures import may_pass

log = logging.getLogger("mcpd.store")

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

BUSY_TIMEOUT_S = 5.0  # for another process that holds the file
WAL_RETRY_S = 0.01
# Primary result codes of SQLite after which opening the file may work later.
_PASSING = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
})  # fmt: skip


class _Pending(Generic[T]):
    """A write that waits for its transaction."""

    __slots__ = ("done", "durable", "error", "job", "result")

    def __init__(self, job: Job[T], *, durable: bool) -> None:
        self.job = job
        self.durable = durable
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None


class Database:
    """One database file.

    Args:
        path: the file; its folder is made with mode 0700.
        schema: the statements that make an empty database, of ``version``.
        migrations: from version N to N + 1, by N.
        version: kept in ``user_version``; a file from the future is refused.
        alone: keep other processes out; a caller that caches what it read needs that.

    Raises (from the constructor, which blocks):
        ConfigError: the file is corrupt, unwritable or from a newer mcpd.
        Unavailable: another process has it, or the disk is full.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        *,
        version: int = 1,
        migrations: dict[int, str] | None = None,
        alone: bool = True,
    ) -> None:
        self.path = path
        self._limiter = trio.CapacityLimiter(1)
        self._turn = trio.Lock()
        self._pending: list[_Pending[Any]] = []
        self._reported = ""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(path) if alone else None
            self._connection = _open(path)
            _prepare(self._connection, path, schema, version, migrations or {})
        except (sqlite3.Error, OSError) as error:
            kind = ConfigError if _is_lasting(error) else Unavailable
            raise kind(f"{path}: {_explain(error)}", fix=_mend(error, path)) from error

    async def read(self, job: Job[T]) -> T:
        """Run a query in the database's thread.

        Raises:
            StoreError: SQLite refused; the sentence says why.

        Cancellation: waits until the thread is done.
        """
        try:
            return await trio.to_thread.run_sync(job, self._connection, limiter=self._limiter)
        except sqlite3.Error as error:
            raise self._refused(error) from error

    async def write(self, job: Job[T], *, durable: bool = True) -> T:
        """Run ``job`` in a transaction, perhaps with others; returns once it is on disk.

        Args:
            durable: False: it survives the end of this process, but a power loss may take it
                (SQLite's synchronous = NORMAL); nothing waits for the disk then.

        Raises:
            StoreError: nothing of the job was kept.

        Cancellation: a job that waits for its turn is withdrawn; one that has begun is done.
        """
        pending = _Pending(job, durable=durable)
        self._pending.append(pending)
        try:
            await self._turn.acquire()
        except trio.Cancelled:
            if pending in self._pending:  # the thread did not take it, and never will
                self._pending.remove(pending)
            raise
        try:
            if not pending.done:
                group, self._pending = self._pending, []
                with trio.CancelScope(shield=True):  # bounded by SQLite's own timeouts
                    await trio.to_thread.run_sync(
                        _commit, self._connection, group, limiter=self._limiter
                    )
        finally:
            self._turn.release()
        if isinstance(pending.error, sqlite3.Error):
            raise self._refused(pending.error) from pending.error
        if pending.error is not None:
            raise pending.error
        self._reported = ""
        return pending.result  # type: ignore[return-value]  # done without error: it is set

    def _refused(self, error: sqlite3.Error) -> StoreError:
        """What clients are told, who have no business with the path; the log has it."""
        if self._reported != str(error):  # once, not for every request
            self._reported = str(error)
            log.error("%s cannot be used: %s", self.path, error)
        return StoreError(f"The store is away: {_explain(error)}", fix="Try again in a moment.")

    def close(self) -> None:
        """Close the file; blocks while a statement runs."""
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)


def _lock(path: Path) -> int:
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


def _commit(connection: sqlite3.Connection, group: list[_Pending[Any]]) -> None:
    """Each job in a savepoint of one transaction: one that fails does not undo the others."""
    durable = any(pending.durable for pending in group)
    try:
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        for pending in group:
            _run_in_savepoint(connection, pending)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        for pending in group:
            pending.error = pending.error or error
    finally:
        for pending in group:
            pending.done = True


def _run_in_savepoint(connection: sqlite3.Connection, pending: _Pending[Any]) -> None:
    connection.execute("SAVEPOINT job")
    try:
        pending.result = pending.job(connection)
    except Exception as error:
        pending.error = error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _open(path: Path) -> sqlite3.Connection:
    with suppress(FileExistsError):  # never readable by others, not even for a moment
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    _use_wal(connection)
    connection.execute("PRAGMA foreign_keys = ON")
    path.chmod(PRIVATE)
    return connection


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


def _prepare(
    connection: sqlite3.Connection,
    path: Path,
    schema: str,
    version: int,
    migrations: dict[int, str],
) -> None:
    """Make the tables, or bring them up to date; several processes may come here at once."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
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


def _explain(error: BaseException) -> str:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"the database cannot be used: {reason}."


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
