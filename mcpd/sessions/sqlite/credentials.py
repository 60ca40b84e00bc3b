"""Credentials in a SQLite file of their own: they outlive a change of the session store, and the
commands of an operator write it beside a running server. The file is made by the first write.
"""

import logging
import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from mcpd.auth.api_keys import KeyRecord
from mcpd.auth.credential_store import (
    KEEP_EXPIRED_S,
    MAX_KEYS,
    MAX_KEYS_PER_OWNER,
    MAX_REVOCATIONS,
    damaged,
    too_many_keys,
    too_many_revocations,
)
from mcpd.auth.revocation import KINDS, Revocation
from mcpd.errors import ConfigError, StoreError, Unavailable
from mcpd.limits.seldom import Seldom
from mcpd.sqlite import Database

log = logging.getLogger("mcpd.auth")

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    record BLOB NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL,
    revoked_at REAL,
    last_used REAL
) WITHOUT ROWID;
CREATE INDEX api_key_by_owner ON api_key (owner);
CREATE TABLE revocation (
    kind TEXT NOT NULL,
    issuer TEXT NOT NULL,
    name TEXT NOT NULL,
    before REAL NOT NULL,
    expires_at REAL,
    PRIMARY KEY (kind, issuer, name)
) WITHOUT ROWID;
CREATE TABLE change (number INTEGER NOT NULL);
INSERT INTO change VALUES (1)
"""
_CHANGED = "UPDATE change SET number = number + 1"


class SqliteCredentials:
    """See CredentialStore.

    Args:
        serves: what keeps the file from being opened goes to the log, since clients are told no
            paths; else it is raised as it is, for an operator.
    """

    def __init__(self, path: Path, *, serves: bool = True) -> None:
        self._path = path
        self._serves = serves
        self._opened: Database | None = None
        self._opening = trio.Lock()
        self._opened_as: tuple[int, int] | None = None  # device and inode
        self._complaints = Seldom()

    async def _database(self, *, make: bool = False) -> Database | None:
        """The file; None: there is none yet, and it is not to be made."""
        if self._opened_as is not None and self._identity() != self._opened_as:
            if self._complaints.is_due(trio.current_time()):
                log.error(
                    "%s was removed or replaced while it is used, and is not read or written any"
                    " more: stop mcpd before you do that",
                    self._path,
                )
            raise StoreError("This server's API keys and revocations are gone.")
        if self._opened is None:
            async with self._opening:
                if self._opened is None and (make or self._path.exists()):
                    self._opened = await self._open()
                    self._opened_as = self._identity()
        return self._opened

    def _identity(self) -> tuple[int, int] | None:
        """Which file is at the path; None: none is."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    async def _open(self) -> Database:
        open_it = partial(Database, self._path, _SCHEMA, alone=False)
        try:
            return await trio.to_thread.run_sync(open_it)
        except (ConfigError, Unavailable) as error:
            if not self._serves:
                raise
            if self._complaints.is_due(trio.current_time()):
                log.error("%s %s", error.message, error.fix)
            raise StoreError("This server cannot read its API keys and revocations.") from error

    async def version(self) -> int:
        """See CredentialStore."""
        database = await self._database()
        if database is None:
            return 0
        rows = await self._read("SELECT number FROM change")
        if not rows or not isinstance(rows[0][0], int):
            raise damaged()
        return rows[0][0]

    async def add_key(self, record: KeyRecord) -> None:
        """See CredentialStore."""
        owner = f"{record.issuer} {record.subject}"

        def insert(db: sqlite3.Connection) -> None:
            in_force = "revoked_at IS NULL AND coalesce(expires_at, 1e18) > ?"
            now = record.created_at
            of_owner, of_all, kept = db.execute(
                f"SELECT coalesce(sum(owner = ? AND {in_force}), 0),"
                f" coalesce(sum({in_force}), 0), count(*) FROM api_key",
                (owner, now, now),
            ).fetchone()
            if of_owner >= MAX_KEYS_PER_OWNER or of_all >= MAX_KEYS:
                raise too_many_keys()
            if kept >= MAX_KEYS:  # those that are over go before their time
                db.execute(f"DELETE FROM api_key WHERE NOT ({in_force})", (now,))
            db.execute(
                "INSERT INTO api_key (id, owner, record, created_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (record.id, owner, msgspec.json.encode(record), record.created_at,
                 record.expires_at),
            )  # fmt: skip
            db.execute(_CHANGED)

        await self._write(insert)

    async def find_key(self, key_id: str) -> KeyRecord | None:
        """See CredentialStore."""
        found = await self._read(f"{_SELECT} WHERE id = ?", (key_id,))
        return _record(found[0]) if found else None

    async def list_keys(self) -> list[KeyRecord]:
        """See CredentialStore."""
        return [_record(row) for row in await self._read(f"{_SELECT} ORDER BY created_at DESC, id")]

    async def revoke_key(self, key_id: str, now: float) -> bool:
        """See CredentialStore."""

        def revoke(db: sqlite3.Connection) -> bool:
            row = db.execute(
                "UPDATE api_key SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?"
                " RETURNING expires_at",
                (now, key_id),
            ).fetchone()
            if row is None:
                return False
            _revoke(db, Revocation("key", key_id), row[0])
            return True

        if await self._database() is None:
            return False
        return await self._write(revoke)

    async def note_used(self, used: Mapping[str, float]) -> None:
        """See CredentialStore."""
        rows = [(when, key_id) for key_id, when in used.items()]

        def note(db: sqlite3.Connection) -> None:
            db.executemany("UPDATE api_key SET last_used = ? WHERE id = ?", rows)

        await self._write(note, durable=False)

    async def revoke(self, revocation: Revocation) -> None:
        """See CredentialStore."""

        def insert(db: sqlite3.Connection) -> None:
            others = (
                "SELECT count(*) FROM revocation WHERE kind = 'token' AND (issuer, name) != (?, ?)"
            )
            name = (revocation.issuer, revocation.name)
            is_token = revocation.kind == "token"  # of users there are few
            if is_token and db.execute(others, name).fetchone()[0] >= MAX_REVOCATIONS:
                raise too_many_revocations()
            _revoke(db, revocation, _finite(revocation.expires_at))

        await self._write(insert)

    async def revocations(self, now: float) -> list[Revocation]:
        """See CredentialStore."""
        rows = await self._read(
            "SELECT kind, name, issuer, before, expires_at FROM revocation"
            " WHERE expires_at IS NULL OR expires_at > ?",
            (now,),
        )
        return [
            Revocation(*row[:4], *([] if row[4] is None else [row[4]]))  # type: ignore[arg-type]
            for row in rows
            if row[0] in KINDS  # a newer mcpd may have more
        ]

    async def sweep(self, now: float) -> None:
        """See CredentialStore."""

        def drop(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM revocation WHERE expires_at <= ?", (now,))
            db.execute(
                "DELETE FROM api_key WHERE min(coalesce(expires_at, 1e18),"
                " coalesce(revoked_at, 1e18)) <= ?",
                (now - KEEP_EXPIRED_S,),
            )

        if await self._database() is not None:
            await self._write(drop)

    def close(self) -> None:
        """Close the file, if it is open; blocks while a statement runs."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    async def _read(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        database = await self._database()
        if database is None:
            return []
        return await database.read(lambda db: db.execute(query, values).fetchall())

    async def _write(self, job: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        database = await self._database(make=True)
        assert database is not None
        return await database.write(job, durable=durable)


_SELECT = "SELECT record, revoked_at, last_used FROM api_key"
_decode = msgspec.json.Decoder(KeyRecord).decode


def _record(row: tuple[object, ...]) -> KeyRecord:
    record, revoked_at, last_used = row
    try:
        found = _decode(record)  # type: ignore[arg-type]  # the column is a BLOB
    except (msgspec.DecodeError, TypeError) as error:
        raise damaged() from error
    return msgspec.structs.replace(found, revoked_at=revoked_at, last_used=last_used)


def _revoke(db: sqlite3.Connection, revocation: Revocation, expires_at: float | None) -> None:
    """The latest moment counts, and the latest end."""
    db.execute(
        "INSERT INTO revocation (kind, issuer, name, before, expires_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET before = max(before, excluded.before),"
        " expires_at = max(expires_at, excluded.expires_at)",  # NULL, for ever, stays
        (revocation.kind, revocation.issuer, revocation.name, revocation.before, expires_at),
    )
    db.execute(_CHANGED)


def _finite(moment: float) -> float | None:
    return None if moment == float("inf") else moment
