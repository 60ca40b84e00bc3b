"""The rows of streams and their events, as the steps of ``events`` and ``watches`` need them."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

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
    KeptCall,
)

STREAM = "session_id = ? AND id = ?"
MAX_TOGETHER = 32  # messages in one row
MAX_TOGETHER_BYTES = 64 * 1024  # of them; the last may pass it
READ, UNREAD = 1, 2  # how a stream is finished; 0: it is not


def is_there(db: sqlite3.Connection, session_id: SessionId) -> bool:
    """Whether the session is not over."""
    row = db.execute("SELECT 1 FROM session WHERE id = ?", (session_id,)).fetchone()
    return row is not None


class End(NamedTuple):
    """How a stream is finished.

    Attributes:
        may_be_many: its session may have MAX_FINISHED of them.
    """

    expires_at: float
    unread: bool
    may_be_many: bool

    @property
    def state(self) -> int:
        """As the column ``finished`` has it."""
        return UNREAD if self.unread else READ


def begin(
    db: sqlite3.Connection,
    call: KeptCall,
    owner: str,
    expires_at: float,
    messages: "Messages",
    end: End | None = None,
) -> tuple[bool, int]:
    """Make the stream of a call with its first events, unless it is there, and perhaps finish it.

    Returns whether its session is there and the stream this owner's, and what ``append`` returns.
    """
    row = (*messages.key, msgspec.json.encode(call), owner, messages.last, messages.count)
    inserted = db.execute(
        "INSERT INTO stream"
        " (session_id, id, call, owner, last, events, bytes, finished, expires_at)"
        " SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM session WHERE id = ?)"
        " ON CONFLICT DO NOTHING",
        (*row, messages.size, 0 if end is None else end.state,
         expires_at if end is None else end.expires_at, call.session_id),
    ).rowcount  # fmt: skip
    if inserted:
        return True, _insert(db, messages, (messages.count, messages.size), end)
    if not is_there(db, call.session_id):
        return False, 0
    return append(db, owner, messages, end)


def append(
    db: sqlite3.Connection, owner: str, messages: "Messages", end: End | None = None
) -> tuple[bool, int]:
    """Add events to the stream of a call, and finish it.

    Returns whether the stream is this owner's, and how many more streams of its session may end
    before their number is to be looked at; 0: it was not.
    """
    found = db.execute(
        "UPDATE stream SET last = ?, events = events + ?, bytes = bytes + ?, finished = ?,"
        f" expires_at = coalesce(?, expires_at) WHERE {STREAM} AND owner = ? AND last < ?"
        " AND NOT finished RETURNING events, bytes",
        (messages.last, messages.count, messages.size, 0 if end is None else end.state,
         None if end is None else end.expires_at, *messages.key, owner, messages.number),
    ).fetchone()  # fmt: skip
    if found is None:
        return _append_rest(db, owner, messages, end)
    return True, _insert(db, messages, found, end)


def _insert(
    db: sqlite3.Connection, messages: "Messages", total: tuple[int, int], end: End | None
) -> int:
    """Insert the rows of a stream, which has so many events and bytes with them."""
    events, size = total
    messages.insert(db)
    _trim(db, messages.key, events, size)
    if end is None or not (end.may_be_many or size > SMALL_BYTES):
        return 0
    return _make_room(db, *messages.key, size, end.expires_at - KEEP_FINISHED_S)


def _append_rest(
    db: sqlite3.Connection, owner: str, messages: "Messages", end: End | None
) -> tuple[bool, int]:
    """What of it is not there yet, when an append is repeated."""
    row = db.execute(
        f"SELECT owner, last, finished FROM stream WHERE {STREAM}", messages.key
    ).fetchone()
    if row is None or row[0] != owner:
        return False, 0
    if row[2] or (messages.last <= row[1] and end is None):
        return True, 0
    return append(db, owner, messages.behind(row[1]), end)


class Messages:
    """Consecutive messages of one stream, in rows that several of them share: a row costs as much
    as what is in it.

    Attributes:
        key: session and stream.
        number: of the first message.
        last: the number of the last one.
        size: bytes of the rows.
    """

    def __init__(
        self, session_id: SessionId, stream_id: str, number: int, messages: Sequence[bytes]
    ) -> None:
        self.key = (session_id, stream_id)
        self.number = number
        self.count = len(messages)
        self.last = number + self.count - 1
        self._messages = messages
        self._rows = [(*self.key, place, data, count) for place, data, count in self._joined()]
        self.size = sum(len(row[3]) for row in self._rows)

    def _joined(self) -> Iterator[tuple[int, bytes, int]]:
        """Number, bytes and messages of each row. What is large is alone, since rows are dropped as
        a whole; so is what has an end of line, which nothing has that we write.
        """
        group: list[bytes] = []
        size, number = 0, self.number
        for message in self._messages:
            is_alone = len(message) > MAX_TOGETHER_BYTES or b"\n" in message
            is_full = len(group) == MAX_TOGETHER or size > MAX_TOGETHER_BYTES
            if group and (is_alone or is_full):
                yield number, b"\n".join(group), len(group)
                number, group, size = number + len(group), [], 0
            if is_alone:
                yield number, message, 1
                number += 1
            else:
                group.append(message)
                size += len(message)
        if group:
            yield number, b"\n".join(group), len(group)

    def behind(self, number: int) -> "Messages":
        """Those behind a number."""
        known = max(0, number - self.number + 1)
        return Messages(*self.key, self.number + known, self._messages[known:])

    def insert(self, db: sqlite3.Connection) -> None:
        """Insert the rows."""
        for row in self._rows:
            db.execute(
                "INSERT INTO event (session_id, stream_id, number, data, messages)"
                " VALUES (?, ?, ?, ?, ?)",
                row,
            )


def _trim(db: sqlite3.Connection, key: tuple[SessionId, str], events: int, size: int) -> None:
    """Drop the oldest of too many, but never the newest."""
    while events > 1 and (events > MAX_EVENTS or size > MAX_BYTES):
        oldest, newest = db.execute(
            "SELECT min(number), max(number) FROM event WHERE session_id = ? AND stream_id = ?", key
        ).fetchone()
        if oldest == newest:
            return
        events, size = drop_events(db, *key, oldest)


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
    event = Messages(session_id, SESSION_STREAM, number, [data])
    event.insert(db)
    row = db.execute(
        f"UPDATE stream SET last = ?, events = events + 1, bytes = bytes + ? WHERE {STREAM}"
        " RETURNING events, bytes",
        (number, event.size, *event.key),
    ).fetchone()
    _trim(db, event.key, *row)
    return number


def _make_room(
    db: sqlite3.Connection, session_id: SessionId, stream_id: str, size: int, now: float
) -> int:
    """For a stream of so many bytes that has just finished, and perhaps for some more behind it."""
    mine, key = "FROM stream WHERE session_id = ? AND finished AND id != ?", (session_id, stream_id)
    db.execute(f"DELETE {mine} AND expires_at <= ?", (*key, now))
    count = db.execute(f"SELECT count(*) {mine}", key).fetchone()[0]
    order = "ORDER BY finished, expires_at"
    if count >= MAX_FINISHED:
        db.execute(
            f"DELETE {mine} AND id IN (SELECT id {mine} {order} LIMIT ?)",
            (*key, *key, count + 1 - MAX_FINISHED),
        )
    large = db.execute(
        f"SELECT id, bytes {mine} AND bytes > ? {order}", (*key, SMALL_BYTES)
    ).fetchall()
    taken = sum(found for _, found in large) + (size if size > SMALL_BYTES else 0)
    while large and taken > MAX_FINISHED_BYTES:  # small ones make no room
        other, found = large.pop(0)
        db.execute(f"DELETE FROM stream WHERE {STREAM}", (session_id, other))
        taken -= found
    return FINISHED_SLACK + max(MAX_FINISHED - 1 - int(count), 0)
