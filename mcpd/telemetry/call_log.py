"""Who called what: a table of the newest calls in the state directory, refusals included.

What a call was given and what it answered is not in it. The event loop puts an entry into a queue;
a thread writes what has come since, twice a second. The processes of one state directory share the
table, and commands read it beside them.
"""

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio

from mcpd.errors import McpdError
from mcpd.events import CallServed, RequestServed
from mcpd.limits.seldom import Seldom
from mcpd.sqlite import Database

FILE = "calls.sqlite"
WRITE_EVERY_S = 0.5
MAX_WAITING = 20_000  # entries; further ones are dropped and counted
MAX_TEXT_CHARS = 256  # of one column
LEAVE_S = 2.0  # to write what is left at the end
REFUSED_FROM = 400  # HTTP statuses
STRANGERS_PER_S = 10  # refusals of requests without a user that are noted

log = logging.getLogger("mcpd.calls")

_SCHEMA = """
CREATE TABLE call (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    user TEXT NOT NULL,
    credential TEXT NOT NULL,
    client TEXT NOT NULL,
    revision TEXT NOT NULL,
    session TEXT NOT NULL,
    address TEXT NOT NULL,
    method TEXT NOT NULL,
    target TEXT NOT NULL,
    status INTEGER NOT NULL,
    code INTEGER NOT NULL,
    is_error INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    seconds REAL NOT NULL,
    request TEXT NOT NULL
)
"""


class Entry(NamedTuple):
    """One call, or one request that did not become one.

    Attributes:
        at: when it ended, Unix seconds.
        credential: the id of an API key, or the ``jti`` of a token; empty: it has none.
        client: its name and version.
        status: of HTTP, where the request was refused before there was a call; else 0.
        code: of the JSON-RPC error; 0: none.
        is_error: the result says that the tool failed.
        cancelled: it was not answered.
        request: its id in the log.
    """

    at: float
    user: str
    credential: str
    client: str
    revision: str
    session: str
    address: str
    method: str
    target: str
    status: int
    code: int
    is_error: bool
    cancelled: bool
    seconds: float
    request: str

    @property
    def outcome(self) -> str:
        """In a word or two."""
        if self.status:
            return f"HTTP {self.status}"
        if self.cancelled:
            return "cancelled"
        if self.code:
            return f"error {self.code}"
        return "tool failed" if self.is_error else "ok"


_COLUMNS = ", ".join(Entry._fields)
_INSERT = f"INSERT INTO call ({_COLUMNS}) VALUES ({', '.join('?' * len(Entry._fields))})"
FAILED = "(status OR code OR is_error OR cancelled)"


class CallLog:
    """Keeps the newest entries.

    Args:
        folder: the state directory.
        max_rows: that are kept.
    """

    def __init__(
        self, folder: Path, max_rows: int, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = folder / FILE
        self._max_rows = max_rows
        self._clock = clock
        self._waiting: deque[Entry] = deque(maxlen=MAX_WAITING)
        self._dropped = 0
        self._database: Database | None = None
        self._complaints = Seldom()
        self._losses = Seldom()
        self._lost = 0  # since that was said
        self._strangers_since = 0.0
        self._strangers = 0  # refused since then

    def call(self, served: CallServed) -> None:
        """A listener of ``Observer``."""
        activity = served.activity
        self._put(Entry(
            self._clock(), activity.user, served.credential, _bounded(served.client),
            served.revision, served.session, "", served.method, _bounded(served.target), 0,
            served.code, served.is_error,
            served.cancelled, served.seconds, activity.id,
        ))  # fmt: skip

    def request(self, served: RequestServed) -> None:
        """A listener of ``Observer``: what was refused before there was a call."""
        activity = served.activity
        if served.status < REFUSED_FROM or activity.method:
            return
        if activity.user or self._may_note_stranger():
            self._put(Entry(
                self._clock(), activity.user, "", "", "", _bounded(activity.session),
                served.address, served.method, _bounded(served.path), served.status, 0, False,
                False, served.seconds,
                activity.id,
            ))  # fmt: skip

    def _may_note_stranger(self) -> bool:
        """Who shows no credential must not push the others out."""
        now = self._clock()
        if now - self._strangers_since >= 1.0:
            self._strangers_since, self._strangers = now, 0
        self._strangers += 1
        return self._strangers <= STRANGERS_PER_S

    def _put(self, entry: Entry) -> None:
        if len(self._waiting) == MAX_WAITING:
            self._dropped += 1
        self._waiting.append(entry)

    async def run(self) -> None:
        """Write, for ever; what cannot be written is dropped, and the log says so."""
        try:
            while True:
                await trio.sleep(WRITE_EVERY_S)
                if self._waiting:
                    await self._write()
        finally:
            with trio.move_on_after(LEAVE_S, shield=True):
                if self._waiting:
                    await self._write()
            if self._database is not None:
                self._database.close()

    async def _write(self) -> None:
        entries, dropped = list(self._waiting), self._dropped
        self._waiting.clear()
        self._dropped = 0
        try:
            if self._database is None:
                open_it = partial(Database, self._path, _SCHEMA, alone=False)
                self._database = await trio.to_thread.run_sync(open_it)
            await self._database.write(partial(_insert, entries, self._max_rows), durable=False)
        except Exception as error:  # whatever it is: calls go on
            dropped += len(entries)
            words = error.message if isinstance(error, McpdError) else type(error).__name__
            if self._complaints.is_due(trio.current_time()):
                log.warning("the call log cannot be written: %s", words)
        self._lost += dropped
        if self._lost and self._losses.is_due(trio.current_time(), anyway=False):
            log.warning("%d entries of the call log are lost", self._lost)
            self._lost = 0


def _insert(entries: list[Entry], max_rows: int, db: sqlite3.Connection) -> None:
    db.executemany(_INSERT, entries)
    db.execute("DELETE FROM call WHERE id <= (SELECT max(id) FROM call) - ?", (max_rows,))


def _bounded(text: str) -> str:
    """What a client chose, as a short text of printable characters: it is shown on terminals."""
    text = text[:MAX_TEXT_CHARS]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def read(
    folder: Path, where: str = "1", values: tuple[object, ...] = (), *, last: int | None = None
) -> Iterator[tuple[int, Entry]]:
    """Entries with their numbers, the oldest first.

    Args:
        where: an SQL expression over the columns, with ``values``.
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
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'call'").fetchone():
            return  # it is being made
        newest = f"SELECT id, {_COLUMNS} FROM call WHERE {where} ORDER BY id DESC LIMIT ?"
        limit = -1 if last is None else last
        for row in db.execute(f"SELECT * FROM ({newest}) ORDER BY at, id", (*values, limit)):
            yield row[0], Entry(*row[1:])
    finally:
        db.close()
