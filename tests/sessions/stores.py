"""Every kind of store, opened for a test; its tables and keys are gone with it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcpd.sessions.backend import Backend
from mcpd.sessions.memory import MemoryStore
from mcpd.sessions.memory_log import MemoryLog
from mcpd.sessions.record import Session, new_session_id
from mcpd.sessions.sqlite import SqliteStore
from mcpd.sessions.sqlite_log import SqliteLog

KINDS = ["memory", "sqlite"]
_numbers = iter(range(1_000_000))


def session(number: int = 0, **changes: Any) -> Session:
    values = {"created_at": 100.0 + number, "last_activity": 100.0 + number, **changes}
    return Session(id=new_session_id(), **values)


@asynccontextmanager
async def opened(kind: str, tmp_path: Path, *, clock: Any = time.time) -> AsyncIterator[Backend]:
    if kind == "memory":
        yield Backend(MemoryStore(), MemoryLog(clock))
    elif kind == "sqlite":
        store = SqliteStore(tmp_path / "s.sqlite")
        owner = f"process-{next(_numbers)}"
        log = SqliteLog(store.database, owner, keep_running_s=3600.0, clock=clock)
        yield Backend(store, log)
        store.close()
