"""Every kind of store, opened for a test; its tables and keys are gone with it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from mcpd.server.backends import memory_backend, sqlite_backend
from mcpd.sessions.backend import Backend
from mcpd.sessions.record import Session, new_session_id
from mcpd.sessions.redis.opening import open_redis
from mcpd.sessions.sqlite.store import SqliteStore
from tests.redis_server import RedisServer
from tests.redis_servers import Cluster, Watched

KINDS = ["memory", "sqlite", "redis", "cluster", "valkey", "oldest"]
SERVERS = {"redis": "redis", "cluster": "redis_cluster", "valkey": "valkey", "oldest": "redis_6"}
_numbers = iter(range(1_000_000))


def session(number: int = 0, **changes: Any) -> Session:
    values = {"created_at": 100.0 + number, "last_activity": 100.0 + number, **changes}
    return Session(id=new_session_id(), **values)


@asynccontextmanager
async def opened(
    kind: str, tmp_path: Path, *, clock: Any = time.time, url: str = ""
) -> AsyncIterator[Backend]:
    """``url``: of a Redis, for that kind."""
    if kind == "memory":
        yield memory_backend(clock)
    elif kind == "sqlite":
        store = SqliteStore(tmp_path / "s.sqlite")
        owner = f"process-{next(_numbers)}"
        yield sqlite_backend(store, owner, keep_running_s=3600.0, clock=clock)
        store.close()
    else:
        name = f"process-{next(_numbers)}"
        backend = open_redis(url, name, timeout_s=3600.0, keep_running_s=3600.0)
        async with trio.open_nursery() as nursery:
            await backend.start(nursery)
            yield backend
            nursery.cancel_scope.cancel()


def fresh(redis: RedisServer | Cluster | Watched) -> str:
    """The URL of a store that nobody has used."""
    return f"{redis.url}?prefix=test{next(_numbers)}"


def fresh_of(request: pytest.FixtureRequest) -> str:
    """The same for the kind that a fixture has as its parameter, if it is one in Redis."""
    if request.param not in SERVERS:
        return ""
    return fresh(request.getfixturevalue(SERVERS[request.param]))
