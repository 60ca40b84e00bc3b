"""Sessions in a SQLite file: the durable default. One server owns the file.

Reads of live sessions are answered from memory; writes go through to the file before they are
acknowledged, but for activity times, which are written behind.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from mcpd.clock import JUMP_S, SteadyClock
from mcpd.errors import StoreError
from mcpd.sessions.record import Session, SessionId
from mcpd.sessions.sqlite.drift import begin, write_drift
from mcpd.sessions.sqlite.schema import open_database
from mcpd.sessions.store import EXPIRE_BATCH, Change, Counts

_COLUMNS = "id, created_at, last_activity, issuer, subject, record"
_OWNED = "subject = ? AND issuer IS ?"
_CACHE_ENTRIES = 20_000
_MAX_DIRTY = 50_000  # activity times that wait; beyond it those that failed are dropped

_Row = tuple[str, float, float, str | None, str | None, bytes]


class SqliteStore:
    """See SessionStore.

    Raises (from the constructor, which blocks):
        ConfigError: the file cannot be used; says why and what to do.
    """

    kind = "sqlite"
    trouble = ""

    def __init__(self, path: Path, *, alone: bool = True, clock: SteadyClock | None = None) -> None:
        self.clock = SteadyClock() if clock is None else clock
        self.database = open_database(path, alone=alone)
        self._drift = self.database.prepare(partial(begin, clock=self.clock, alone=alone))
        self._cache: OrderedDict[SessionId, Session] = OrderedDict()
        self._activity: OrderedDict[SessionId, float] = OrderedDict()  # of cached sessions
        self._dirty: dict[SessionId, float] = {}
        self._data_version: int | None = None

    async def create(self, session: Session, *, max_unbound: int) -> list[SessionId]:
        def insert(db: sqlite3.Connection) -> list[SessionId]:
            db.execute(
                f"INSERT INTO session ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", _to_row(session)
            )
            return _drop_oldest_unbound(db, max_unbound)

        dropped = await self.database.write(insert)
        self._remember(session, session.last_activity)
        for session_id in dropped:
            self._forget(session_id)
        return dropped

    async def get(self, session_id: SessionId, *, alive_since: float) -> Session | None:
        session = self._cache.get(session_id)
        if session is None:
            session = await self.database.read(lambda db: _select(db, session_id))
            if session is None:
                return None
            self._remember(session, self._dirty.get(session_id, session.last_activity))
        return session if self._activity.get(session_id, 0.0) > alive_since else None

    def recall(self, session_id: SessionId, *, alive_since: float) -> Session | None:
        session = self._cache.get(session_id)
        if session is None or self._activity.get(session_id, 0.0) <= alive_since:
            return None
        return session

    def touch(self, session_id: SessionId, now: float) -> None:
        if session_id in self._cache:
            self._activity[session_id] = now
            self._cache.move_to_end(session_id)
        self._dirty[session_id] = now

    async def update(self, session_id: SessionId, change: Change) -> Session | None:
        def apply(db: sqlite3.Connection) -> Session | None:
            session = _select(db, session_id)
            if session is None:
                return None
            changed = change(session)
            db.execute("UPDATE session SET record = ? WHERE id = ?", (_encode(changed), session_id))
            return changed

        changed = await self.database.write(apply)
        if changed is not None:
            self._remember(changed, self._activity.get(session_id, changed.last_activity))
        return changed

    async def bind(self, session_id: SessionId, issuer: str, subject: str) -> Session | None:
        def claim(db: sqlite3.Connection) -> Session | None:
            db.execute(
                "UPDATE session SET issuer = ?, subject = ? WHERE id = ? AND subject IS NULL",
                (issuer, subject, session_id),
            )
            return _select(db, session_id)

        session = await self.database.write(claim)
        if session is None:
            self._forget(session_id)
        else:
            self._remember(session, self._activity.get(session_id, session.last_activity))
        return session

    async def count_owned(self, session: Session) -> int:
        owner = (session.subject, session.issuer)
        return await self.database.read(lambda db: _count_owned(db, owner))

    async def trim(self, session: Session, *, keep: int) -> list[SessionId]:
        await self.flush()  # or one that is in use would look idle
        owner = (session.subject, session.issuer)

        def drop(db: sqlite3.Connection) -> list[SessionId]:
            surplus = max(0, _count_owned(db, owner) - keep)
            rows = db.execute(
                f"DELETE FROM session WHERE id IN (SELECT id FROM session WHERE {_OWNED}"
                " AND id != ? ORDER BY last_activity LIMIT ?) RETURNING id",
                (*owner, session.id, surplus),
            ).fetchall()
            return [SessionId(row[0]) for row in rows]

        dropped = await self.database.write(drop)
        for session_id in dropped:
            self._forget(session_id)
        return dropped

    async def end(self, session_id: SessionId) -> bool:
        found = await self.database.write(
            lambda db: db.execute("DELETE FROM session WHERE id = ?", (session_id,)).rowcount
        )
        self._forget(session_id)
        return bool(found)

    async def expire(self, cutoff: float) -> list[SessionId]:
        await self.flush()

        def sweep(db: sqlite3.Connection) -> list[SessionId]:
            rows = db.execute(
                "DELETE FROM session WHERE id IN (SELECT id FROM session"
                " WHERE last_activity <= ? ORDER BY last_activity LIMIT ?) RETURNING id",
                (cutoff, EXPIRE_BATCH),
            ).fetchall()
            return [SessionId(row[0]) for row in rows]

        expired: list[SessionId] = []
        if await self.database.read(lambda db: _any_expired(db, cutoff)):
            expired = await self.database.write(sweep)
        for session_id in expired:
            self._forget(session_id)
        if len(expired) < EXPIRE_BATCH:
            await self.database.give_back()
        return expired

    async def list(
        self, *, alive_since: float, limit: int, after: SessionId | None = None
    ) -> list[Session]:
        await self.flush()
        rows = await self.database.read(
            lambda db: db.execute(
                f"SELECT {_COLUMNS} FROM session WHERE id > ? AND last_activity > ?"
                " ORDER BY id LIMIT ?",
                (after or "", alive_since, limit),
            ).fetchall()
        )
        return [_from_row(row) for row in rows]

    async def check(self) -> str:
        await self.database.read(lambda db: db.execute("SELECT 1 FROM session LIMIT 1").fetchone())
        return self.database.condition.state

    async def count(self) -> Counts:
        def counts(db: sqlite3.Connection) -> Counts:
            total = db.execute("SELECT count(*) FROM session").fetchone()[0]
            return Counts(total, _count_unbound(db))

        return await self.database.read(counts)

    async def refresh(self, active: Collection[SessionId]) -> Sequence[SessionId]:
        def look(db: sqlite3.Connection) -> int:
            return int(db.execute("PRAGMA data_version").fetchone()[0])  # of other connections

        version, known = await self.database.read(look), self._data_version
        self._data_version = version
        if known is None or version == known:
            return ()
        cached = list(self._cache)
        there = await self.database.read(
            lambda db: [_select(db, key) is not None for key in cached]
        )
        self._cache.clear()
        self._activity.clear()
        return [key for key, is_there in zip(cached, there, strict=True) if not is_there]

    async def flush(self) -> None:
        await self._note_drift()
        if not self._dirty:
            await self.database.probe()  # or nothing would show that it can be written again
            return
        behind, self._dirty = self._dirty, {}
        rows = [(when, session_id) for session_id, when in behind.items()]
        try:
            await self.database.write(
                lambda db: db.executemany(
                    "UPDATE session SET last_activity = max(last_activity, ?) WHERE id = ?", rows
                )
            )
        except StoreError:
            if len(self._dirty) < _MAX_DIRTY:
                self._dirty = behind | self._dirty
            raise

    async def _note_drift(self) -> None:
        """The wall clock jumped: see ``drift``."""
        drift = self.clock.drift
        if abs(drift - self._drift) > JUMP_S:
            await self.database.write(lambda db: write_drift(db, drift))
            self._drift = drift

    def close(self) -> None:
        self.database.close()

    def _remember(self, session: Session, last_activity: float) -> None:
        self._cache[session.id] = session
        self._cache.move_to_end(session.id)
        self._activity[session.id] = last_activity
        while len(self._cache) > _CACHE_ENTRIES:
            oldest, _ = self._cache.popitem(last=False)
            self._activity.pop(oldest, None)

    def _forget(self, session_id: SessionId) -> None:
        self._cache.pop(session_id, None)
        self._activity.pop(session_id, None)
        self._dirty.pop(session_id, None)


def _to_row(session: Session) -> _Row:
    return (
        session.id,
        session.created_at,
        session.last_activity,
        session.issuer,
        session.subject,
        _encode(session),
    )


def _encode(session: Session) -> bytes:
    return msgspec.json.encode(session)


def _from_row(row: _Row) -> Session:
    """The columns win over what the record says of the same."""
    session = msgspec.json.decode(row[5], type=Session)
    return replace(
        session,
        capabilities=session.capabilities.copy(),
        created_at=row[1],
        last_activity=row[2],
        issuer=row[3],
        subject=row[4],
    )


def _select(db: sqlite3.Connection, session_id: SessionId) -> Session | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM session WHERE id = ?", (session_id,)).fetchone()
    return None if row is None else _from_row(row)


def _any_expired(db: sqlite3.Connection, cutoff: float) -> bool:
    query = "SELECT 1 FROM session WHERE last_activity <= ? LIMIT 1"
    return db.execute(query, (cutoff,)).fetchone() is not None


def _count_owned(db: sqlite3.Connection, owner: tuple[str | None, str | None]) -> int:
    return int(db.execute(f"SELECT count(*) FROM session WHERE {_OWNED}", owner).fetchone()[0])


def _count_unbound(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM session WHERE subject IS NULL").fetchone()[0])


def _drop_oldest_unbound(db: sqlite3.Connection, max_unbound: int) -> list[SessionId]:
    surplus = _count_unbound(db) - max_unbound
    if surplus <= 0:
        return []
    rows = db.execute(
        "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE subject IS NULL"
        " ORDER BY created_at LIMIT ?) RETURNING id",
        (surplus,),
    ).fetchall()
    return [SessionId(row[0]) for row in rows]
