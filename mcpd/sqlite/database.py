"""SQLite for a Trio program: one connection, one thread at a time, commits in groups.

Writers that arrive while a transaction runs are carried out together in the next one, so a
thousand registrations a second cost a few fsyncs, and each is on disk before it is answered.
In WAL mode a FULL commit also makes every NORMAL one before it durable.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Generic, TypeVar

import trio

from mcpd.errors import StoreError
from mcpd.events import StoreUsed
from mcpd.observer import Observer
from mcpd.sqlite.faults import Condition, fault_of, store_error
from mcpd.sqlite.opening import (
    connect,
    lock,
    make_shrinkable,
    open_file,
    opening_error,
    prepare,
)

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

KEEP_FREE_PAGES = 256  # for what comes next: 1 MiB
GIVE_BACK_PAGES = 256  # in one step, between which others have their turn
MAX_STEPS = 64  # of one call of ``give_back``: 64 MiB


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

    Attributes:
        observer: told of each use.
        condition: whether it can be written, as far as is known.

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
        self.condition = Condition(path)
        self.observer = Observer()
        self._limiter = trio.CapacityLimiter(1)
        self._turn = trio.Lock()
        self._pending: list[_Pending[Any]] = []
        self._is_durable: bool | None = None  # of the last transaction: SQLite's setting
        with ExitStack() as opened:  # what was opened before a later step fails is closed
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._lock = lock(path) if alone else None
                if self._lock is not None:
                    opened.callback(os.close, self._lock)
                self._connection = opened.enter_context(closing(connect(path)))
                open_file(self._connection, path)
                prepare(self._connection, path, schema, version, migrations or {})
                make_shrinkable(self._connection, path)
            except (sqlite3.Error, OSError) as error:
                raise opening_error(path, error) from error
            opened.pop_all()

    def prepare(self, job: Job[T]) -> T:
        """Run ``job`` now, before the file is used; blocks.

        Raises:
            ConfigError, Unavailable: SQLite refused, and the file is closed.
        """
        try:
            return job(self._connection)
        except sqlite3.Error as error:
            self.close()
            raise opening_error(self.path, error) from error

    async def read(self, job: Job[T]) -> T:
        """Run a query in the database's thread.

        Raises:
            StoreError: SQLite refused; the sentence says why, and the log has a fault of the file.

        Cancellation: waits until the thread is done.
        """
        began = trio.current_time()
        try:
            result = await trio.to_thread.run_sync(job, self._connection, limiter=self._limiter)
        except sqlite3.Error as error:
            self._tell("read", began, failed=True)
            self.condition.note(error)
            raise store_error(error) from error
        self._tell("read", began)
        return result

    def _tell(self, operation: str, began: float, *, failed: bool = False) -> None:
        if self.observer.hears(StoreUsed):
            seconds = trio.current_time() - began
            self.observer.tell(StoreUsed(self.path.name, operation, seconds, failed))

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
                began = trio.current_time()
                with trio.CancelScope(shield=True):  # bounded by SQLite's own timeouts
                    await trio.to_thread.run_sync(self._commit, group, limiter=self._limiter)
                self._tell("write", began, failed=_first_fault(group) is not None)
                self._note(group)
        finally:
            self._turn.release()
        if isinstance(pending.error, sqlite3.Error):
            raise store_error(pending.error) from pending.error
        if pending.error is not None:
            raise pending.error
        return pending.result  # type: ignore[return-value]  # done without error: it is set

    def _commit(self, group: list[_Pending[Any]]) -> None:
        """Each job in a savepoint of one transaction: one that fails does not undo the others. Runs
        in the database's thread.
        """
        connection = self._connection
        try:
            self._be_durable(any(pending.durable for pending in group))
            connection.execute("BEGIN IMMEDIATE")
            for pending in group:
                _run_in_savepoint(connection, pending)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            cause = _first_fault(group) or error
            for pending in group:
                pending.error = pending.error or cause
        finally:
            for pending in group:
                pending.done = True

    def _be_durable(self, durable: bool) -> None:
        """Whether the next commit waits for the disk."""
        if durable is not self._is_durable:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._is_durable = durable

    def _note(self, group: list[_Pending[Any]]) -> None:
        errors = [pending.error for pending in group]
        for error in errors:
            if isinstance(error, sqlite3.Error) and fault_of(error) is not None:
                self.condition.note(error)
                return
        if None in errors:
            self.condition.wrote()

    async def probe(self) -> None:
        """Try to write if that failed lately, and to that end alone; see ``condition``."""
        if self.condition.state != "ok":
            try:
                await self.write(_touch)
            except StoreError:
                return  # it was noted

    async def give_back(self) -> None:
        """Let the file shrink by what is free in it, but for KEEP_FREE_PAGES; cheap where nothing
        is. What cannot be done now is left for the next time.

        Cancellation: between two steps.
        """
        steps = 0
        try:
            while steps < MAX_STEPS and await self.read(_give_back):
                steps += 1
            if steps:
                await self.read(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        except StoreError:
            return

    def close(self) -> None:
        """Close the file; blocks while a statement runs."""
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)


def _run_in_savepoint(connection: sqlite3.Connection, pending: _Pending[Any]) -> None:
    connection.execute("SAVEPOINT job")
    try:
        pending.result = pending.job(connection)
    except Exception as error:
        pending.error = error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _first_fault(group: list[_Pending[Any]]) -> sqlite3.Error | None:
    """A full disk rolls back the whole transaction (https://sqlite.org/lang_transaction.html), and
    what fails after that only says that there is none.
    """
    errors = (pending.error for pending in group)
    faults = (error for error in errors if isinstance(error, sqlite3.Error) and fault_of(error))
    return next(faults, None)


def _touch(connection: sqlite3.Connection) -> None:
    """Write the first page as it is."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(f"PRAGMA user_version = {int(version)}")


def _give_back(connection: sqlite3.Connection) -> bool:
    """One step; False: there is nothing to give back."""
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0]) - KEEP_FREE_PAGES
    if free <= 0:
        return False
    pages = min(free, GIVE_BACK_PAGES)
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")  # execute() would free one page
    return True
