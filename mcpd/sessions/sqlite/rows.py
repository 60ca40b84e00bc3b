"""The rows of streams and their events, as the steps of ``events`` and ``watches`` need them."""

import sqlite3
from collections.abc import Iterator, Sequence

from mcpd.sessions.record import SessionId
from mcpd.sessions.stream_ids import next_own_number
from mcpd.sessions.streams import (
    FINISHED_SLACK,
    KEEP_FINISHED_S,
    MAX_BYTES,
    MAX_EVENTS,
    MAX_FINISHED,
    MAX_FINISHED_BYTES,
    SESSION_STREAM,
    SMALL_BYTES,
    Event,
)

STREAM = "session_id = ? AND id = ?"
MAX_TOGETHER = 32  # messages in one row
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
    key, size, last = (session_id, stream_id), 0, number + len(messages) - 1
    for group in _groups(messages):
        data = b"\n".join(group)
        db.execute(
            "INSERT INTO event (session_id, stream_id, number, data, messages)"
            " VALUES (?, ?, ?, ?, ?)",
            (*key, number, data, len(group)),
        )
        number += len(group)
        size += len(data)
    events, size = db.execute(
        f"UPDATE stream SET last = ?, events = events + ?, bytes = bytes + ? WHERE {STREAM}"
        " RETURNING events, bytes",
        (last, len(messages), size, *key),
    ).fetchone()
    while events > 1 and (events > MAX_EVENTS or size > MAX_BYTES):
        oldest = db.execute(
            "SELECT min(number) FROM event WHERE session_id = ? AND stream_id = ?", key
        ).fetchone()[0]
        events, size = drop_events(db, session_id, stream_id, oldest)


def _groups(messages: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Messages that share a row: a row costs as much as what is in it."""
    for start in range(0, len(messages), MAX_TOGETHER):
        group = messages[start : start + MAX_TOGETHER]
        if any(b"\n" in message for message in group):  # not what we write, but legal JSON
            yield from ([message] for message in group)
        else:
            yield group


def events_behind(
    db: sqlite3.Connection, session_id: SessionId, stream_id: str, after: int, limit: int
) -> list[Event]:
    """The events behind a number, in order; more than ``limit`` only if they share a row."""
    found: list[Event] = []
    rows = db.execute(
        "SELECT number, data, messages FROM event WHERE session_id = ? AND stream_id = ?"
        " AND number > ? ORDER BY number",
        (session_id, stream_id, after - MAX_TOGETHER),
    )
    for number, data, messages in rows:
        parts = [data] if messages == 1 else data.split(b"\n")
        found += [Event(place, part) for place, part in enumerate(parts, number) if place > after]
        if len(found) >= limit:
            break
    return found


def drop_events(
    db: sqlite3.Connection, session_id: SessionId, stream_id: str, through: int
) -> tuple[int, int]:
    """Drop events up to a number; how many events and bytes are left."""
    dropped = db.execute(
        "DELETE FROM event WHERE session_id = ? AND stream_id = ? AND number <= ?"
        " RETURNING messages, length(data)",
        (session_id, stream_id, through),
    ).fetchall()
    events, size = sum(row[0] for row in dropped), sum(row[1] for row in dropped)
    row = db.execute(
        f"UPDATE stream SET events = events - ?, bytes = bytes - ? WHERE {STREAM}"
        " RETURNING events, bytes",
        (events, size, session_id, stream_id),
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
    may_be_many: bool,
) -> int:
    """End a stream, unless it is ended, and make room for it among those of its session.

    Args:
        may_be_many: its session may have MAX_FINISHED of them.

    Returns how many more may end before that is to be looked at; 0: it was not.
    """
    row = db.execute(
        f"SELECT bytes FROM stream WHERE {STREAM} AND NOT finished", (session_id, stream_id)
    ).fetchone()
    if row is None:
        return 0
    left, is_large = 0, row[0] > SMALL_BYTES
    if may_be_many or is_large:
        left = _make_room(db, session_id, row[0], expires_at - KEEP_FINISHED_S)
    db.execute(
        f"UPDATE stream SET finished = ?, expires_at = ? WHERE {STREAM}",
        (UNREAD if unread else READ, expires_at, session_id, stream_id),
    )
    return left


def _make_room(db: sqlite3.Connection, session_id: SessionId, size: int, now: float) -> int:
    """For one more finished stream of so many bytes, and perhaps for some more behind it."""
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
    return FINISHED_SLACK + max(MAX_FINISHED - int(count), 0)
