"""Which sessions are told of which changes, in the SQLite file of the sessions."""

import sqlite3
import time
from collections.abc import Callable

from mcpd.sessions.record import SessionId
from mcpd.sessions.sqlite import rows
from mcpd.sqlite import Database


class SqliteWatches:
    """See ChangeWatches. Watches end with their session."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def watch(self, session_id: SessionId, topics: frozenset[str]) -> None:
        def change(db: sqlite3.Connection) -> None:
            """Write the difference alone: a client subscribes to one resource after the other."""
            found = db.execute("SELECT topic FROM watch WHERE session_id = ?", (session_id,))
            known = {row[0] for row in found}
            db.executemany(
                "DELETE FROM watch WHERE topic = ? AND session_id = ?",
                [(topic, session_id) for topic in known - topics],
            )
            if rows.is_there(db, session_id):
                db.executemany(
                    "INSERT INTO watch (topic, session_id) VALUES (?, ?)",
                    [(topic, session_id) for topic in sorted(topics - known)],
                )

        await self._database.write(change)

    async def announce(self, topic: str, data: bytes) -> list[SessionId]:
        now = self._clock()

        def keep(db: sqlite3.Connection) -> list[SessionId]:
            found = db.execute("SELECT session_id FROM watch WHERE topic = ?", (topic,)).fetchall()
            reached = [SessionId(row[0]) for row in found]
            for session_id in reached:
                rows.put(db, session_id, data, now, drop_oldest=True)
            return reached

        return await self._database.write(keep, durable=False)
