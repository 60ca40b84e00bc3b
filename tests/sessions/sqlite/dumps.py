"""Databases of every schema that a build of mcpd ever wrote, as text in the folder ``schemas``.

A file KIND-N.sql has schema N of KIND.sqlite with some rows, made by a build of its time. Where
builds wrote other tables under the same number, the name says what is different. When a schema
changes, ``python -m tests.sessions.sqlite.dumps`` opens the newest dumps with today's code and
writes what is missing; add rows for what is new.
"""

import re
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import trio

from mcpd.config import Config
from mcpd.server.backends import credentials_path, open_backend
from mcpd.sessions.sqlite.credentials import SqliteCredentials
from mcpd.sessions.sqlite.limits import SqliteLedger
from mcpd.telemetry.call_log import CallLog
from mcpd.telemetry.call_table import CallTable
from mcpd.toolkits.tasks.store import TaskStore

FOLDER = Path(__file__).parent / "schemas"
KINDS = ["sessions", "credentials", "calls", "tasks", "limits"]
PRAGMAS = ("auto_vacuum", "application_id", "user_version")
MAX_CALLS = 100
_BLOB = re.compile(r"(?<=[,(])X'([0-9A-F]+)'(?=[,)])")


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Any]:
    """A file of a state directory, opened as the server does; made if it is not there."""
    if kind == "sessions":
        backend = open_backend(Config(state_dir=folder))
        yield backend
        backend.store.close()
    elif kind == "credentials":
        credentials = SqliteCredentials(credentials_path(Config(state_dir=folder)))
        await credentials._database(make=True)
        yield credentials
        credentials.close()
    elif kind == "calls":
        table = CallTable(folder, MAX_CALLS)
        log = CallLog(table)
        await log._write()
        yield log
        table.close()
    elif kind == "limits":
        ledger = SqliteLedger(folder, time.time)
        await ledger._open()
        yield ledger
        ledger.close()
    else:
        tasks = TaskStore(folder / "tasks.sqlite")
        yield tasks
        tasks.close()


def number_of(dump: Path) -> int:
    """The number of its schema, as its name has it."""
    return int(dump.stem.split("-")[1])


def dumps_of(kind: str) -> list[Path]:
    """The oldest first."""
    return sorted(FOLDER.glob(f"{kind}-*.sql"), key=lambda dump: (number_of(dump), dump.stem))


def newest(kind: str) -> Path:
    """The one of today's schema, if all is well."""
    return max(dumps_of(kind), key=number_of)


def restore(dump: Path, folder: Path) -> Path:
    """Make the file of a dump, in WAL mode, as every build kept it."""
    path = folder / f"{dump.stem.split('-')[0]}.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(dump.read_text())
        db.execute("PRAGMA journal_mode = WAL")
    return path


def version_of(path: Path) -> int:
    """The number of the schema in a file."""
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def layout_of(path: Path) -> dict[str, str]:
    """The statements that make the tables and indexes of a file, by their names."""
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute(query).fetchall())


def as_text(path: Path, title: str) -> str:
    """The dump of a file."""
    with closing(sqlite3.connect(path)) as db:
        values = [(name, db.execute(f"PRAGMA {name}").fetchone()[0]) for name in PRAGMAS]
        lines = [f"-- {title}", *(f"PRAGMA {name} = {value};" for name, value in values)]
        lines += [_BLOB.sub(_readable, line) for line in db.iterdump()]
    return "\n".join(lines) + "\n"


def _readable(blob: re.Match[str]) -> str:
    """A blob as text, where it is a line of it."""
    data = bytes.fromhex(blob[1])
    if not data.isascii() or not data.decode().isprintable():
        return blob[0]
    return "CAST('" + data.decode().replace("'", "''") + "' AS BLOB)"


async def write_missing() -> None:
    """Write the dumps of today's schemas that are not there yet."""
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / f"{kind}.sqlite"
            if dumps_of(kind):
                restore(newest(kind), Path(name))
            async with opened(kind, Path(name)):
                pass
            number = version_of(path)
            target = FOLDER / f"{kind}-{number}.sql"
            if not target.exists():
                target.write_text(as_text(path, f"{path.name} of schema {number}."))
                print(target)


if __name__ == "__main__":
    trio.run(write_missing)
