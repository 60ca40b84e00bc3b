"""The rows of streams and their events, as the steps of ``events`` and ``watches`` need them."""

import sqlite3
from collections.abc import Sequence

from mcpd.sessions.record import SessionId
from mcpd.sessions.stream_ids import next_own_number
from mcpd.sessions.streams import (
    KEEP_FINISHED_S,
    MAX_BYTES,
    MAX_EVENTS,
    MAX_FINISHED,
    MAX_FINISHED_BYTES,
    SESSION_STREAM,
    SMALL_BYTES,
)

STREAM = "session_id = ? AND id = ?"
READ, UNREAD = 1, 2  # how a stream is finished; 0: it is not


def is_there(db: sqlite3.Connection, session_id: SessionId) -> bool:
    """Whether the session is not over."""
    row = db.execute("SELECT 1 FROM session WHERE id = ?", (session_id,)).fetchone()
    return row is not None


def insert_events(
    db: sqlite3.Connection,
    session_id: SessionId,
    stream_id: str,
    number: int,
    messages: Sequence[bytes],
) -> None:
    """Add events, the first of them under ``number``, and drop the oldest of too many."""
    key = (session_id, stream_id)
    db.executemany(
        "INSERT INTO event (session_id, stream_id, number, data) VALUES (?, ?, ?, ?)",
        [(*key, place, message) for place, message in enumerate(messages, number)],
    )
    events, size = db.execute(
        f"UPDATE stream SET last = ?, events = events + ?, bytes = bytes + ? WHERE {STREAM}"
        " RETURNING events, bytes",
        (number + len(messages) - 1, len(messages), sum(map(len, messages)), *key),
    ).fetchone()
    while events > 1 and (events > MAX_EVENTS or size > MAX_BYTES):
        oldest = db.execute(
            "SELECT min(number) FROM event WHERE session_id = ? AND stream_id = ?", key
        ).fetchone()[0]
        events, size = drop_events(db, session_id, stream_id, oldest)


def drop_events(
    db: sqlite3.Connection, session_id: SessionId, stream_id: str, through: int
) -> tuple[int, int]:
    """Drop events up to a number; how many events and bytes are left."""
    dropped = db.execute(
        "DELETE FROM event WHERE session_id = ? AND stream_id = ? AND number <= ?"
        " RETURNING length(data)",
        (session_id, stream_id, through),
    ).fetchall()
    row = db.execute(
        f"UPDATE stream SET events = events - ?, bytes = bytes - ? WHERE {STREAM}"
        " RETURNING events, bytes",
        (len(dropped), sum(size for (size,) in dropped), session_id, stream_id),
    ).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def own_stream(db: sqlite3.Connection, session_id: SessionId) -> tuple[int, int, int]:
    """Last number, events and bytes of a session's own stream."""
    row = db.execute(
        f"SELECT last, events, bytes FROM stream WHERE {STREAM}", (session_id, SESSION_STREAM)
    ).fetchone()
    return (0, 0, 0) if row is None else (row[0], row[1], row[2])


def put(
    db: sqlite3.Connection, session_id: SessionId, data: bytes, now: float, *, drop_oldest: bool
) -> int | None:
    """Put a message onto a session's own stream; its number, or None: there is no room."""
    last, events, size = own_stream(db, session_id)
    if not drop_oldest and (events >= MAX_EVENTS or size >= MAX_BYTES):
        return None
    if not last:
        db.execute(
            "INSERT INTO stream (session_id, id) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (session_id, SESSION_STREAM),
        )
    number = next_own_number(last, now)
    insert_events(db, session_id, SESSION_STREAM, number, [data])
    return number


def finish(
    db: sqlite3.Connection,
    session_id: SessionId,
    stream_id: str,
    expires_at: float,
    *,
    unread: bool,
) -> None:
    """End a stream, unless it is ended, and make room for it among those of its session."""
    row = db.execute(
        f"SELECT bytes FROM stream WHERE {STREAM} AND NOT finished", (session_id, stream_id)
    ).fetchone()
    if row is None:
        return
    _make_room(db, session_id, row[0], expires_at - KEEP_FINISHED_S)
    db.execute(
        f"UPDATE stream SET finished = ?, expires_at = ? WHERE {STREAM}",
        (UNREAD if unread else READ, expires_at, session_id, stream_id),
    )


def _make_room(db: sqlite3.Connection, session_id: SessionId, size: int, now: float) -> None:
    """For one more finished stream of so many bytes."""
    mine = "FROM stream WHERE session_id = ? AND finished"
    db.execute(f"DELETE {mine} AND expires_at <= ?", (session_id, now))
    count = db.execute(f"SELECT count(*) {mine}", (session_id,)).fetchone()[0]
    order = "ORDER BY finished, expires_at"
    if count >= MAX_FINISHED:
        db.execute(
            f"DELETE {mine} AND id IN (SELECT id {mine} {order} LIMIT ?)",
            (session_id, session_id, count + 1 - MAX_FINISHED),
        )
    large = db.execute(
        f"SELECT id, bytes {mine} AND bytes > ? {order}", (session_id, SMALL_BYTES)
    ).fetchall()
    taken = sum(found for _, found in large) + (size if size > SMALL_BYTES else 0)
    while large and taken > MAX_FINISHED_BYTES:  # small ones make no room
        stream_id, found = large.pop(0)
        db.execute(f"DELETE FROM stream WHERE {STREAM}", (session_id, stream_id))
        taken -= found
