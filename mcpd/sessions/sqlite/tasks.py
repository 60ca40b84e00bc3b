"""Records of tasks in the SQLite file of the sessions: what was done outlives a restart."""

import sqlite3
import time
from collections.abc import Callable

from mcpd.sqlite import Database

MAX_LISTED = 1000


class SqliteTasks:
    """See TaskStore. There is one process at a time, so there are no commands.

    Args:
        process: the name of this one.
    """

    def __init__(
        self, database: Database, process: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._process = process
        self._clock = clock

    async def put(
        self, task_id: str, owner: str, record: bytes, *, ttl_s: float, final: bool
    ) -> bool:
        now = self._clock()

        def keep(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM task WHERE expires_at <= ?", (now,))
            db.execute(
                "INSERT INTO task (id, owner, record, created_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
                (task_id, owner, record, now, now + ttl_s),
            )

        await self._database.write(keep)
        return True  # the process that could have decided otherwise is gone

    async def get(self, task_id: str) -> bytes | None:
        row = await self._database.read(
            lambda db: db.execute(
                "SELECT record FROM task WHERE id = ? AND expires_at > ?", (task_id, self._clock())
            ).fetchone()
        )
        return None if row is None else bytes(row[0])

    async def of(self, owner: str) -> list[bytes]:
        rows = await self._database.read(
            lambda db: db.execute(
                "SELECT record FROM task WHERE owner = ? AND expires_at > ?"
                " ORDER BY created_at, id LIMIT ?",
                (owner, self._clock(), MAX_LISTED),
            ).fetchall()
        )
        return [bytes(row[0]) for row in rows]

    async def is_gone(self, process: str) -> bool:
        return process != self._process

    async def send_command(self, task_id: str, command: bytes) -> None:
        """The process that ran it is gone."""

    async def commands(self, task_id: str) -> list[bytes]:
        return []

    async def drop_commands(self, task_id: str, count: int) -> None:
        """There are none."""
