"""Tasks in a SQLite file; every query names its user."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from mcpd.sqlite import Database
from mcpd.toolkits.tasks.model import Task
from mcpd.toolkits.tasks.search import (
    MAX_SCAN_BYTES,
    MAX_SCAN_S,
    Page,
    SearchTooLarge,
    Step,
    Wanted,
    scan,
)

_TASKS = """
CREATE TABLE task (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL,
    status TEXT NOT NULL,
    priority TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX task_by_user ON task (user, number);
"""
# What each user has, so that a quota costs nothing to check.
_USAGE = """
CREATE TABLE usage (
    user TEXT PRIMARY KEY,
    tasks INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO usage SELECT user, count(*), sum(length(CAST(title AS BLOB))
    + length(CAST(body AS BLOB)) + length(CAST(record AS BLOB))) FROM task GROUP BY user;
"""
MAX_TASKS_PER_USER = 10_000
MAX_BYTES_PER_USER = 16 * 1024 * 1024  # as stored, about twice what was sent: 8 MB of text


class TooManyTasks(Exception):
    """The user has MAX_TASKS_PER_USER tasks."""


class TooManyBytes(Exception):
    """The tasks of the user have MAX_BYTES_PER_USER."""


class TaskStore:
    """See Database for what the constructor raises; methods raise StoreError.

    Args:
        clock: seconds that only go forward, for the bound on one search.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        migrations = {1: _USAGE}
        self._database = Database(  # workers share it
            path, _TASKS + _USAGE, version=2, migrations=migrations, alone=False
        )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    async def add(self, user: str, task: Task) -> None:
        """Keep a new task.

        Raises:
            TooManyTasks, TooManyBytes: the user has too many.
        """

        def insert(db: sqlite3.Connection) -> None:
            _count(db, user, 1, _size(task))
            db.execute(
                "INSERT INTO task (id, user, status, priority, title, body, record)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (task.id, user, *_columns(task)),
            )

        await self._database.write(insert)

    async def get(self, user: str, task_id: str) -> Task | None:
        """The task, if it is the user's."""
        return await self._database.read(lambda db: _select(db, user, task_id))

    async def change(self, user: str, task_id: str, changes: dict[str, object]) -> Task | None:
        """Change members of a task; None: the user has no such task.

        Raises:
            TooManyBytes: it grows, and the user has too many.
        """

        def update(db: sqlite3.Connection) -> Task | None:
            task = _select(db, user, task_id)
            if task is None:
                return None
            changed: Task = replace(task, **changes)
            _count(db, user, 0, _size(changed) - _size(task))
            db.execute(
                "UPDATE task SET status = ?, priority = ?, title = ?, body = ?, record = ?"
                " WHERE id = ? AND user = ?",
                (*_columns(changed), task_id, user),
            )
            return changed

        return await self._database.write(update)

    async def delete(self, user: str, task_id: str) -> Task | None:
        """Forget a task and return it; None: the user has no such task."""

        def remove(db: sqlite3.Connection) -> Task | None:
            task = _select(db, user, task_id)
            if task is not None:
                _count(db, user, -1, -_size(task))
            db.execute("DELETE FROM task WHERE id = ? AND user = ?", (task_id, user))
            return task

        removed = await self._database.write(remove)
        await self._database.give_back()
        return removed

    async def find(
        self,
        user: str,
        wanted: Wanted,
        *,
        status: str | None,
        priority: str | None,
        page: Page,
    ) -> None:
        """Fill a page with the user's tasks that fit, oldest first, and count those that do.

        Raises:
            SearchTooLarge: there is too much to look at.

        Cancellation: between two steps, of which others have their turn.
        """
        where = ["user = ?"]
        values: list[object] = [user]
        for column, value in (("status", status), ("priority", priority)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        condition = " AND ".join(where)
        if wanted.is_anything:
            await self._database.read(lambda db: _fill(db, condition, values, page))
        else:
            await self._scan(condition, values, wanted, page)

    async def _scan(self, condition: str, values: list[object], wanted: Wanted, page: Page) -> None:
        began, reached, size = self._clock(), 0, 0
        while True:

            def look(db: sqlite3.Connection, after: int = reached) -> Step:
                query = f"SELECT number, title, body, record FROM task WHERE {condition}"
                rows = db.execute(f"{query} AND number > ? ORDER BY number", [*values, after])
                return scan(rows, wanted)

            step = await self._database.read(look)
            for record in step.records:
                page.add(record)
            reached, size = step.reached, size + step.size
            if step.done:
                return
            if size > MAX_SCAN_BYTES or self._clock() - began > MAX_SCAN_S:
                raise SearchTooLarge


def _fill(db: sqlite3.Connection, condition: str, values: list[object], page: Page) -> None:
    """Where every task fits that SQL finds."""
    total = db.execute(f"SELECT count(*) FROM task WHERE {condition}", values).fetchone()[0]
    rows = db.execute(
        f"SELECT record FROM task WHERE {condition} ORDER BY number LIMIT ? OFFSET ?",
        [*values, page.limit, page.offset],
    )
    page.total = page.offset
    for (record,) in rows:
        page.add(record)
        if page.is_full:
            break
    page.total = int(total)


def _count(db: sqlite3.Connection, user: str, tasks: int, size: int) -> None:
    """Count what a user has from here on.

    Raises:
        TooManyTasks, TooManyBytes: it would be more than a user may have, and grows.
    """
    row = db.execute("SELECT tasks, bytes FROM usage WHERE user = ?", (user,)).fetchone()
    had_tasks, had_bytes = row or (0, 0)
    if tasks > 0 and had_tasks + tasks > MAX_TASKS_PER_USER:
        raise TooManyTasks
    if size > 0 and had_bytes + size > MAX_BYTES_PER_USER:
        raise TooManyBytes
    db.execute(
        "INSERT OR REPLACE INTO usage (user, tasks, bytes) VALUES (?, ?, ?)",
        (user, max(0, had_tasks + tasks), max(0, had_bytes + size)),
    )


def _size(task: Task) -> int:
    """The bytes that count for a task, as ``usage`` has them."""
    _, _, title, body, record = _columns(task)
    return len(title.encode()) + len(body.encode()) + len(record.encode())


def _columns(task: Task) -> tuple[str, str, str, str, str]:
    body = " ".join([task.description, *task.tags])
    record = msgspec.json.encode(task).decode()
    return task.status, task.priority, task.title, body, record


def _decode(record: str) -> Task:
    return msgspec.json.decode(record, type=Task)


def _select(db: sqlite3.Connection, user: str, task_id: str) -> Task | None:
    row = db.execute(
        "SELECT record FROM task WHERE id = ? AND user = ?", (task_id, user)
    ).fetchone()
    return None if row is None else _decode(row[0])
