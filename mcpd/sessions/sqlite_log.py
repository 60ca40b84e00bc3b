"""Streams and answers in the SQLite file of the sessions; they end with their session.

Messages are written without waiting for the disk: they survive the end of the process, and what
a power loss takes is told to the client as lost (``log.request_of``).
"""

import sqlite3
import time
from collections.abc import Callable

import msgspec

from mcpd.sessions.log import (
    KEEP_FINISHED_S,
    MAX_BYTES,
    MAX_EVENTS,
    MAX_STREAMS,
    SESSION_STREAM,
    Event,
    KeptCall,
    Page,
    next_own_number,
)
from mcpd.sessions.record import SessionId
from mcpd.sqlite import Database

READ_EVENTS = 100  # in one page
_ROW = "session_id = ? AND id = ?"


class SqliteLog:
    """See StreamLog. One process at a time uses the file, so an owner that is not this process
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

    async def begin(self, call: KeptCall) -> None:
        expires_at = self._clock() + self._keep_running_s
        row = (call.session_id, call.stream_id, msgspec.json.encode(call), self._owner, expires_at)

        def insert(db: sqlite3.Connection) -> None:
            _make_room(db, call.session_id)
            db.execute(
                "INSERT INTO stream (session_id, id, call, owner, expires_at)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                row,
            )

        await self._database.write(insert, durable=False)

    async def append(
        self, session_id: SessionId, stream_id: str, number: int, data: bytes | None, *, last: bool
    ) -> bool:
        expires_at = self._clock() + KEEP_FINISHED_S

        def keep(db: sqlite3.Connection) -> bool:
            key = (session_id, stream_id)
            row = db.execute(f"SELECT owner, last FROM stream WHERE {_ROW}", key).fetchone()
            if row is None or row[0] != self._owner:
                return False
            if data is not None and number > row[1]:
                _insert_event(db, session_id, stream_id, number, data)
            if last:
                db.execute(
                    f"UPDATE stream SET finished = 1, expires_at = ? WHERE {_ROW} AND NOT finished",
                    (expires_at, *key),
                )
            return True

        return await self._database.write(keep, durable=False)

    async def read(self, session_id: SessionId, stream_id: str, after: int) -> Page | None:
        def select(db: sqlite3.Connection) -> Page | None:
            key = (session_id, stream_id)
            row = db.execute(f"SELECT last, finished FROM stream WHERE {_ROW}", key).fetchone()
            if row is None:
                return Page([], finished=False) if stream_id == SESSION_STREAM else None
            events = db.execute(
                "SELECT number, data FROM event WHERE session_id = ? AND stream_id = ?"
                " AND number > ? ORDER BY number LIMIT ?",
                (*key, after, READ_EVENTS),
            ).fetchall()
            whole = not events or events[-1][0] == row[0]
            return Page([Event(*event) for event in events], finished=bool(row[1]) and whole)

        return await self._database.read(select)

    async def last(self, session_id: SessionId) -> int:
        return await self._database.read(lambda db: _own_stream(db, session_id)[0])

    async def claim(self, session_id: SessionId, stream_id: str) -> KeptCall | None:
        def take_over(db: sqlite3.Connection) -> KeptCall | None:
            row = db.execute(
                f"UPDATE stream SET owner = ? WHERE {_ROW} AND NOT finished"
                " AND call IS NOT NULL RETURNING call",
                (self._owner, session_id, stream_id),
            ).fetchone()
            return None if row is None else msgspec.json.decode(row[0], type=KeptCall)

        return await self._database.write(take_over)

    async def release(self) -> None:
        """The next process has another name, and that is enough."""

    async def put(
        self, session_id: SessionId, data: bytes, *, drop_oldest: bool = True
    ) -> int | None:
        now = self._clock()

        def keep(db: sqlite3.Connection) -> int | None:
            return _put(db, session_id, data, now, drop_oldest=drop_oldest)

        return await self._database.write(keep, durable=False)

    async def has_room(self, session_id: SessionId) -> bool:
        _, events, size = await self._database.read(lambda db: _own_stream(db, session_id))
        return events < MAX_EVENTS and size < MAX_BYTES

    async def take(self, session_id: SessionId, through: int) -> None:
        def drop(db: sqlite3.Connection) -> None:
            _drop_events(db, session_id, SESSION_STREAM, through)

        await self._database.write(drop, durable=False)

    async def watch(self, session_id: SessionId, topics: frozenset[str]) -> None:
        rows = [(topic, session_id) for topic in sorted(topics)]

        def replace(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM watch WHERE session_id = ?", (session_id,))
            db.executemany("INSERT INTO watch (topic, session_id) VALUES (?, ?)", rows)

        await self._database.write(replace)

    async def announce(self, topic: str, data: bytes) -> list[SessionId]:
        now = self._clock()

        def keep(db: sqlite3.Connection) -> list[SessionId]:
            rows = db.execute("SELECT session_id FROM watch WHERE topic = ?", (topic,)).fetchall()
            reached = [SessionId(row[0]) for row in rows]
            for session_id in reached:
                _put(db, session_id, data, now, drop_oldest=True)
            return reached

        return await self._database.write(keep, durable=False)

    async def ask(self, session_id: SessionId, asker: str, request_id: str) -> None:
        row = (session_id, request_id, asker)
        await self._database.write(
            lambda db: db.execute(
                "INSERT INTO question (session_id, request_id, asker) VALUES (?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                row,
            ),
            durable=False,
        )

    async def answer(self, session_id: SessionId, request_id: str, reply: bytes) -> bool:
        done = await self._database.write(
            lambda db: db.execute(
                "UPDATE question SET reply = coalesce(reply, ?)"
                " WHERE session_id = ? AND request_id = ?",
                (reply, session_id, request_id),
            )
        )
        return done.rowcount > 0

    async def answer_to(self, session_id: SessionId, request_id: str) -> bytes | None:
        row = await self._database.read(
            lambda db: db.execute(
                "SELECT reply FROM question WHERE session_id = ? AND request_id = ?",
                (session_id, request_id),
            ).fetchone()
        )
        return None if row is None else row[0]

    async def forget_questions(self, session_id: SessionId, asker: str) -> None:
        await self._database.write(
            lambda db: db.execute(
                "DELETE FROM question WHERE session_id = ? AND asker = ?", (session_id, asker)
            ),
            durable=False,
        )

    async def sweep(self, now: float) -> None:
        def drop(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM stream WHERE expires_at <= ?", (now,))

        await self._database.write(drop, durable=False)

    def forget(self, session_id: SessionId) -> None:
        """The rows went with the session's."""


def _insert_event(
    db: sqlite3.Connection, session_id: SessionId, stream_id: str, number: int, data: bytes
) -> None:
    key = (session_id, stream_id)
    db.execute(
        "INSERT INTO event (session_id, stream_id, number, data) VALUES (?, ?, ?, ?)",
        (*key, number, data),
    )
    events, size = db.execute(
        f"UPDATE stream SET last = ?, events = events + 1, bytes = bytes + ? WHERE {_ROW}"
        " RETURNING events, bytes",
        (number, len(data), *key),
    ).fetchone()
    while events > 1 and (events > MAX_EVENTS or size > MAX_BYTES):
        oldest = db.execute(
            "SELECT min(number) FROM event WHERE session_id = ? AND stream_id = ?", key
        ).fetchone()[0]
        events, size = _drop_events(db, session_id, stream_id, oldest)


def _drop_events(
    db: sqlite3.Connection, session_id: SessionId, stream_id: str, through: int
) -> tuple[int, int]:
    """Drop events up to a number; how many events and bytes are left."""
    dropped = db.execute(
        "DELETE FROM event WHERE session_id = ? AND stream_id = ? AND number <= ?"
        " RETURNING length(data)",
        (session_id, stream_id, through),
    ).fetchall()
    row = db.execute(
        f"UPDATE stream SET events = events - ?, bytes = bytes - ? WHERE {_ROW}"
        " RETURNING events, bytes",
        (len(dropped), sum(size for (size,) in dropped), session_id, stream_id),
    ).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def _own_stream(db: sqlite3.Connection, session_id: SessionId) -> tuple[int, int, int]:
    """Last number, events and bytes of a session's own stream."""
    row = db.execute(
        f"SELECT last, events, bytes FROM stream WHERE {_ROW}", (session_id, SESSION_STREAM)
    ).fetchone()
    return (0, 0, 0) if row is None else (row[0], row[1], row[2])


def _put(
    db: sqlite3.Connection, session_id: SessionId, data: bytes, now: float, *, drop_oldest: bool
) -> int | None:
    last, events, size = _own_stream(db, session_id)
    if not drop_oldest and (events >= MAX_EVENTS or size >= MAX_BYTES):
        return None
    if not last:
        db.execute(
            "INSERT INTO stream (session_id, id) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (session_id, SESSION_STREAM),
        )
    number = next_own_number(last, now)
    _insert_event(db, session_id, SESSION_STREAM, number, data)
    return number


def _make_room(db: sqlite3.Connection, session_id: SessionId) -> None:
    """Drop the oldest finished streams of a session that has many."""
    row = db.execute("SELECT count(*) FROM stream WHERE session_id = ?", (session_id,)).fetchone()
    surplus = row[0] - MAX_STREAMS + 1
    if surplus > 0:
        db.execute(
            "DELETE FROM stream WHERE session_id = ? AND id IN (SELECT id FROM stream"
            " WHERE session_id = ? AND finished ORDER BY expires_at LIMIT ?)",
            (session_id, session_id, surplus),
        )
