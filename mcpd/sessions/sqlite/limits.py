"""What users have done, in a SQLite file that all processes of a state directory share. It is made
by the first that counts.
"""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from mcpd.errors import ConfigError, StoreError, Unavailable
from mcpd.limits.rules import DAY_S, Rule
from mcpd.limits.windows import Grant, Window, give_back, slots_of, take
from mcpd.sqlite import Database

FILE = "limits.sqlite"
BUSY_MS = 300  # for another process to be done: requests wait for this
FAR_S = 3 * DAY_S  # later than any window of now ends
MAX_ROWS = 500_000  # after a sweep; those that end first go

_SCHEMA = """
CREATE TABLE window (
    key TEXT NOT NULL,
    rule TEXT NOT NULL,
    number INTEGER NOT NULL,
    counts TEXT NOT NULL,
    ends REAL NOT NULL,
    PRIMARY KEY (key, rule)
) WITHOUT ROWID;
CREATE INDEX window_by_end ON window (ends)
"""
_READ = "SELECT number, counts FROM window WHERE key = ? AND rule = ?"
_WRITE = "INSERT OR REPLACE INTO window VALUES (?, ?, ?, ?, ?)"


class SqliteLedger:
    """See Ledger.

    Args:
        folder: the state directory.
        clock: Unix seconds.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._path = folder / FILE
        self._clock = clock
        self._database: Database | None = None
        self._opening = trio.Lock()

    async def take(self, key: str, rule: Rule, least: float, most: float) -> Grant:
        """See Ledger."""
        job = partial(_take, key, rule, least, most, self._clock())
        return await (await self._open()).write(job, durable=False)

    async def give_back(self, key: str, rule: Rule, amount: float) -> None:
        """See Ledger."""
        job = partial(_give_back, key, rule, amount, self._clock())
        await (await self._open()).write(job, durable=False)

    async def sweep(self) -> None:
        """See Ledger."""
        if self._database is not None:
            await self._database.write(partial(_sweep, self._clock()), durable=False)

    def close(self) -> None:
        """See Ledger."""
        if self._database is not None:
            self._database.close()

    async def _open(self) -> Database:
        if self._database is None:
            async with self._opening:
                if self._database is None:
                    open_it = partial(Database, self._path, _SCHEMA, alone=False)
                    try:
                        database = await trio.to_thread.run_sync(open_it)
                        database.prepare(_be_quick)
                        self._database = database
                    except (ConfigError, Unavailable) as error:
                        raise StoreError(error.message) from error
        return self._database


def _be_quick(db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")


def _window(db: sqlite3.Connection, key: str, rule: Rule) -> Window:
    row = db.execute(_READ, (key, rule.name)).fetchone()
    if row is None:
        return Window()
    return Window(row[0], tuple(map(float, row[1].split())))


def _take(
    key: str, rule: Rule, least: float, most: float, now: float, db: sqlite3.Connection
) -> Grant:
    window, grant = take(_window(db, key, rule), rule, least, most, now)
    if grant.amount:
        _write(db, key, rule, window)
    return grant


def _give_back(key: str, rule: Rule, amount: float, now: float, db: sqlite3.Connection) -> None:
    _write(db, key, rule, give_back(_window(db, key, rule), rule, amount, now))


def _write(db: sqlite3.Connection, key: str, rule: Rule, window: Window) -> None:
    ends = (window.number + 1) * rule.period_s / slots_of(rule) + rule.period_s
    counts = " ".join(map(repr, window.counts))
    db.execute(_WRITE, (key, rule.name, window.number, counts, ends))


def _sweep(now: float, db: sqlite3.Connection) -> None:
    """What ends far in the future was written by a clock that has been set back since."""
    db.execute("DELETE FROM window WHERE ends < ? OR ends > ?", (now, now + FAR_S))
    rows = db.execute("SELECT count(*) FROM window").fetchone()[0]
    if rows > MAX_ROWS:
        db.execute(
            "DELETE FROM window WHERE (key, rule) IN"
            " (SELECT key, rule FROM window ORDER BY ends LIMIT ?)",
            (rows - MAX_ROWS,),
        )
