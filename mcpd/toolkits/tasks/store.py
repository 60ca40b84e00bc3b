"""Tasks in a SQLite file; every query names its user."""

import sqlite3
from pathlib import Path

import msgspec
from msgspec.structs import replace

from mcpd.sqlite import Database
from mcpd.toolkits.tasks.model import Task

_SCHEMA = """
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
MAX_TASKS_PER_USER = 100_000


class TooManyTasks(Exception):
    """The user has MAX_TASKS_PER_USER tasks."""


class TaskStore:
    """See Database for what the constructor raises; methods raise StoreError."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA, alone=False)  # workers share it

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    async def add(self, user: str, task: Task) -> None:
        """Keep a new task.

        Raises:
            TooManyTasks: the user has too many.
        """

        def insert(db: sqlite3.Connection) -> None:
            count = db.execute("SELECT count(*) FROM task WHERE user = ?", (user,)).fetchone()[0]
            if count >= MAX_TASKS_PER_USER:
                raise TooManyTasks
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
        """Change members of a task; None: the user has no such task."""

        def update(db: sqlite3.Connection) -> Task | None:
            task = _select(db, user, task_id)
            if task is None:
                return None
            changed: Task = replace(task, **changes)
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
            db.execute("DELETE FROM task WHERE id = ? AND user = ?", (task_id, user))
            return task

        return await self._database.write(remove)

    async def find(
        self,
        user: str,
        *,
        status: str | None,
        priority: str | None,
        tag: str | None,
        text: str | None,
        limit: int,
        offset: int,
    ) -> tuple[list[Task], int]:
        """One page of the user's tasks that fit, oldest first, and how many fit in all."""
        where = ["user = ?"]
        values: list[object] = [user]
        for column, value in (("status", status), ("priority", priority)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        if tag is not None:
            where.append("EXISTS (SELECT 1 FROM json_each(record, '$.tags') WHERE value = ?)")
            values.append(tag)
        for word in (text or "").split():
            where.append("(title LIKE ? ESCAPE '\\' OR body LIKE ? ESCAPE '\\')")
            values += [_pattern(word)] * 2
        condition = " AND ".join(where)

        def select(db: sqlite3.Connection) -> tuple[list[Task], int]:
            total = db.execute(f"SELECT count(*) FROM task WHERE {condition}", values).fetchone()
            rows = db.execute(
                f"SELECT record FROM task WHERE {condition} ORDER BY number LIMIT ? OFFSET ?",
                [*values, limit, offset],
            ).fetchall()
            return [_decode(row[0]) for row in rows], int(total[0])

        return await self._database.read(select)


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


def _pattern(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
