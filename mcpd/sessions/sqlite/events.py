"""Streams in the SQLite file of the sessions; they end with their session.

Messages are written without waiting for the disk: they survive the end of the process, and what
a power loss takes is told to the client as lost (``stream_ids.request_of``).
"""

import sqlite3
import time
from collections.abc import Callable, Sequence

from mcpd.errors import SessionNotFound
from mcpd.sessions.record import SessionId
from mcpd.sessions.sqlite import rows
from mcpd.sessions.sqlite.rows import STREAM
from mcpd.sessions.streams import (
    KEEP_FINISHED_S,
    MAX_BYTES,
    MAX_EVENTS,
    SESSION_STREAM,
    KeptCall,
    Page,
)
from mcpd.sqlite import Database

READ_EVENTS = 100  # in one page
MAX_KNOWN_ROOM = 10_000  # sessions


class SqliteEvents:
    """See EventLog.

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
        self._room: dict[SessionId, int] = {}  # finished streams that fit before one is to look

    async def begin(
        self,
        call: KeptCall,
        messages: Sequence[bytes] = (),
        *,
        last: bool = False,
        unread: bool = False,
    ) -> None:
        expires_at = self._clock() + self._keep_running_s
        first = rows.Messages(call.session_id, call.stream_id, 1, messages)

        def begin(db: sqlite3.Connection) -> bool:
            end = self._end(call.session_id, unread=unread) if last else None
            is_ours, room = rows.begin(db, call, self._owner, expires_at, first, end)
            self._note_room(call.session_id, end, room)
            return is_ours

        if not await self._database.write(begin, durable=False):
            raise SessionNotFound("The session ended.")

    async def append(
        self,
        session_id: SessionId,
        stream_id: str,
        number: int,
        messages: Sequence[bytes],
        *,
        last: bool,
        unread: bool = False,
    ) -> bool:
        new = rows.Messages(session_id, stream_id, number, messages)

        def append(db: sqlite3.Connection) -> bool:
            end = self._end(session_id, unread=unread) if last else None
            is_ours, room = rows.append(db, self._owner, new, end)
            self._note_room(session_id, end, room)
            return is_ours

        return await self._database.write(append, durable=False)

    def _end(self, session_id: SessionId, *, unread: bool) -> rows.End:
        expires_at = self._clock() + KEEP_FINISHED_S
        return rows.End(expires_at, unread, may_be_many=session_id not in self._room)

    def _note_room(self, session_id: SessionId, end: rows.End | None, room: int) -> None:
        """After an end: how many more may follow before their number is to be looked at."""
        if end is None:
            return
        left = room or self._room.pop(session_id, 0) - 1
        if left > 0:
            if len(self._room) >= MAX_KNOWN_ROOM:
                self._room.clear()
            self._room[session_id] = left

    async def mark_unread(self, session_id: SessionId, stream_id: str) -> None:
        await self._database.write(
            lambda db: db.execute(
                f"UPDATE stream SET finished = ? WHERE {STREAM} AND finished",
                (rows.UNREAD, session_id, stream_id),
            ),
            durable=False,
        )

    async def read(self, session_id: SessionId, stream_id: str, after: int) -> Page | None:
        def select(db: sqlite3.Connection) -> Page | None:
            key = (session_id, stream_id)
            row = db.execute(f"SELECT last, finished FROM stream WHERE {STREAM}", key).fetchone()
            if row is None:
                return Page([], finished=False) if stream_id == SESSION_STREAM else None
            events = rows.events_behind(db, *key, after, READ_EVENTS)
            whole = not events or events[-1].number == row[0]
            return Page(events, finished=bool(row[1]) and whole)

        return await self._database.read(select)

    async def newest(self, session_id: SessionId) -> int:
        return await self._database.read(lambda db: rows.own_stream(db, session_id)[0])

    async def put(
        self, session_id: SessionId, data: bytes, *, drop_oldest: bool = True
    ) -> int | None:
        now = self._clock()

        def keep(db: sqlite3.Connection) -> int | None:
            if not rows.is_there(db, session_id):
                return 0
            return rows.put(db, session_id, data, now, drop_oldest=drop_oldest)

        return await self._database.write(keep, durable=False)

    async def has_room(self, session_id: SessionId) -> bool:
        _, events, size = await self._database.read(lambda db: rows.own_stream(db, session_id))
        return events < MAX_EVENTS and size < MAX_BYTES

    async def drop_through(self, session_id: SessionId, through: int) -> None:
        def drop(db: sqlite3.Connection) -> None:
            rows.drop_events(db, session_id, SESSION_STREAM, through)

        await self._database.write(drop, durable=False)

    async def sweep(self, now: float) -> None:
        def drop(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM stream WHERE expires_at <= ?", (now,))

        await self._database.write(drop, durable=False)

    def forget(self, session_id: SessionId) -> None:
        """The rows went with the session's."""
        self._room.pop(session_id, None)
