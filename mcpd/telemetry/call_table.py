"""The newest entries of the call log, in a SQLite file of the state directory. Its processes share
it, and commands read it beside them.

Entries that come together are one row, as JSON: a row for each would cost ten times as much.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import trio

from mcpd.sqlite import Database
from mcpd.telemetry.call_entry import Entry

FILE = "calls.sqlite"
VERSION = 2

_SCHEMA = """
CREATE TABLE calls (
    last INTEGER PRIMARY KEY AUTOINCREMENT,
    number INTEGER NOT NULL,
    entries BLOB NOT NULL
)
"""
_ROWS_BEFORE = f"""
{_SCHEMA};
INSERT INTO calls SELECT id, 1, json_array(json_array(
    at, user, credential, client, revision, session, address, method, target, status, code,
    json(iif(is_error, 'true', 'false')), json(iif(cancelled, 'true', 'false')), seconds, request
)) FROM call;
DROP TABLE call
"""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Entry]).decode


class CallTable:
    """Writes entries.

    Args:
        folder: the state directory.
        max_rows: entries that are kept, and at most as many as were written at once beyond.
    """

    def __init__(self, folder: Path, max_rows: int) -> None:
        self._path = folder / FILE
        self._max_rows = max_rows
        self.database: Database | None = None

    async def write(self, entries: list[Entry]) -> None:
        """Keep these.

        Raises:
            McpdError: they are not kept.
        """
        if self.database is None:
            self.database = await trio.to_thread.run_sync(self._open)
        await self.database.write(lambda db: self._insert(entries, db), durable=False)

    def _open(self) -> Database:
        return Database(
            self._path, _SCHEMA, version=VERSION, migrations={1: _ROWS_BEFORE}, alone=False
        )

    def _insert(self, entries: list[Entry], db: sqlite3.Connection) -> None:
        if entries:
            newest = db.execute("SELECT coalesce(max(last), 0) FROM calls").fetchone()[0]
            last = newest + len(entries)
            row = (last, len(entries), _encode(entries))
            db.execute("INSERT INTO calls VALUES (?, ?, ?)", row)
            db.execute("DELETE FROM calls WHERE last <= ?", (last - self._max_rows,))

    def close(self) -> None:
        """Close the file."""
        if self.database is not None:
            self.database.close()


def read(
    folder: Path,
    keep: Callable[[Entry], bool] = lambda entry: True,
    *,
    after: int = 0,
    last: int | None = None,
) -> Iterator[tuple[int, Entry]]:
    """Entries with their numbers, the oldest first.

    Args:
        keep: which of them.
        after: the number behind which they begin.
        last: so many of the newest; None: all.

    Raises:
        FileNotFoundError: there is no log.
        sqlite3.Error: it cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        raise FileNotFoundError(path)
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'calls'").fetchone():
            return  # it is being made
        found: list[tuple[int, Entry]] = []
        rows = db.execute(
            "SELECT last, entries FROM calls WHERE last > ? ORDER BY last DESC", (after,)
        )
        for newest, entries in rows:
            some = _decode(entries)
            numbered = zip(range(newest - len(some) + 1, newest + 1), some, strict=True)
            chosen = [(n, entry) for n, entry in numbered if n > after and keep(entry)]
            found += reversed(chosen)
            if last is not None and len(found) >= last:
                break
        yield from reversed(found if last is None else found[:last])
    finally:
        db.close()
