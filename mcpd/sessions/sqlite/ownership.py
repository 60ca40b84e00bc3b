"""Which process goes on with a call, in the SQLite file of the sessions."""

import sqlite3
import time
from collections.abc import Callable

import msgspec

from mcpd.sessions.record import SessionId
from mcpd.sessions.sqlite.rows import STREAM
from mcpd.sessions.streams import KeptCall
from mcpd.sqlite import Database


class SqliteOwnership:
    """See CallOwnership. One process at a time uses the file, so an owner that is not this process
    is gone.

    Args:
        owner: the name of this process, different at every start.
        keep_running_s: how long an unfinished stream is kept.
    """

    def __init__(
        self,
        database: Database,
        owner: str,
        *,
        keep_running_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._owner = owner
        self._keep_running_s = keep_running_s
        self._clock = clock

    async def claim(self, session_id: SessionId, stream_id: str) -> KeptCall | None:
        expires_at = self._clock() + self._keep_running_s

        def take_over(db: sqlite3.Connection) -> KeptCall | None:
            row = db.execute(
                f"UPDATE stream SET owner = ?, expires_at = ? WHERE {STREAM} AND NOT finished"
                " AND call IS NOT NULL RETURNING call",
                (self._owner, expires_at, session_id, stream_id),
            ).fetchone()
            return None if row is None else msgspec.json.decode(row[0], type=KeptCall)

        return await self._database.write(take_over)

    async def disown(self, session_id: SessionId, stream_id: str) -> None:
        """This process can claim it again, and no other is there."""

    async def disown_all(self) -> None:
        """The next process has another name, and that is enough."""
