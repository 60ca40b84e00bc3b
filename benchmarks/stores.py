"""What a session costs in each store, and what a hundred thousand of them do to it.

python -m benchmarks.stores
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from benchmarks.client import free_port
from mcpd.server.backends import memory_backend, sqlite_backend
from mcpd.sessions.backend import Backend
from mcpd.sessions.record import Session, State, new_session_id
from mcpd.sessions.redis.events import RedisEvents
from mcpd.sessions.redis.opening import open_redis
from mcpd.sessions.sqlite.store import SqliteStore
from mcpd.sessions.streams import KeptCall

AT_ONCE = 100
EXPIRED = 1000
TIMEOUT_S = 3600.0
CAPABILITIES = msgspec.Raw(
    b'{"elicitation":{"form":{}},"roots":{"listChanged":true},"sampling":{}}'
)


def typical(age_s: float) -> Session:
    """A session as clients leave it."""
    now = time.time() - age_s
    return Session(
        id=new_session_id(),
        created_at=now,
        last_activity=now,
        state=State.READY,
        client_name="Claude Code",
        client_version="2.1.317",
        capabilities=msgspec.Raw(bytes(bytearray(CAPABILITIES))),
        address="192.0.2.17",
        user_agent="claude-code/2.1.317 (cli)",
        revision="2025-11-25",
        issuer="https://login.example.org",
        subject="user-0123456789",
    )


@asynccontextmanager
async def store(kind: str, folder: Path) -> AsyncIterator[tuple[Backend, Callable[[], int]]]:
    """A fresh store, and how many bytes it takes now."""
    if kind == "memory":
        yield memory_backend(), resident
    elif kind == "sqlite":
        path = folder / "s.sqlite"
        sqlite = SqliteStore(path)

        def size() -> int:
            return sum(Path(f"{path}{end}").stat().st_size for end in ("", "-wal"))

        yield sqlite_backend(sqlite, "bench", keep_running_s=TIMEOUT_S), size
        sqlite.close()
    else:
        port = free_port()
        server = start_redis(port, folder)
        backend = open_redis(
            f"redis://127.0.0.1:{port}/0", "bench", timeout_s=TIMEOUT_S, keep_running_s=TIMEOUT_S
        )

        def used() -> int:
            done = subprocess.run(
                ["redis-cli", "-p", str(port), "info", "memory"], capture_output=True, text=True,
                check=True,
            )  # fmt: skip
            line = next(x for x in done.stdout.splitlines() if x.startswith("used_memory:"))
            return int(line.partition(":")[2])

        async with trio.open_nursery() as nursery:
            await backend.start(nursery)
            yield backend, used
            nursery.cancel_scope.cancel()
        server.kill()
        server.wait()


def start_redis(port: int, folder: Path) -> "subprocess.Popen[bytes]":
    """Without persistence: its memory is what is measured."""
    server = subprocess.Popen(
        [str(shutil.which("redis-server")), "--port", str(port), "--save", ""],
        stdout=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    time.sleep(0.5)
    return server


def resident() -> int:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def fill(backend: Backend, sessions: list[Session]) -> None:
    """Create them, many at once."""
    left = iter(sessions)

    async def some() -> None:
        for session in left:
            await backend.store.create(session, max_unbound=10)

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(some)


async def timed(job: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    await job()
    return (time.perf_counter() - began) * 1000


async def measure(kind: str, count: int) -> None:
    """One store, one line of each figure."""
    with tempfile.TemporaryDirectory() as name:
        async with store(kind, Path(name)) as (backend, size):
            await fill(backend, [typical(0) for _ in range(2000)])  # what is there only once
            before = size()
            old = [typical(TIMEOUT_S + 10) for _ in range(EXPIRED)]
            sessions = [typical(0) for _ in range(count - EXPIRED)] + old
            if kind != "memory":  # there they are the store's own objects
                before = size()
            began = time.perf_counter()
            await fill(backend, sessions)
            filling_s = time.perf_counter() - began
            each = (size() - before) / count
            cutoff = time.time() - TIMEOUT_S
            expiring = await timed(lambda: sweep(backend, cutoff))
            idle = await timed(lambda: sweep(backend, cutoff))
            page = await timed(lambda: backend.store.list(alive_since=cutoff, limit=100))
            everything = await timed(lambda: list_all(backend, cutoff))
            print(
                f"{kind:7} {each:6.0f} bytes a session; created {count / filling_s:,.0f}/s;"
                f" sweep {idle:.1f} ms, with {EXPIRED} expired {expiring:.0f} ms;"
                f" a page of 100 {page:.0f} ms, all {everything:,.0f} ms"
                + await stream_cost(backend, size)
            )


async def stream_cost(backend: Backend, size: Callable[[], int]) -> str:
    """What a finished call of ten messages leaves for a while, in Redis."""
    if not isinstance(backend.events, RedisEvents):
        return ""
    sessions = [typical(0) for _ in range(500)]
    await fill(backend, sessions)
    before = size()
    for session in sessions:
        await backend.events.begin(KeptCall(session.id, "0123456789abcdef", b"x" * 200, "u"))
        for number in range(1, 11):
            await backend.events.append(
                session.id, "0123456789abcdef", number, [b"x" * 150], last=number == 10
            )
    return f"; a stream of 10 messages {(size() - before) / len(sessions):,.0f} bytes"


async def sweep(backend: Backend, cutoff: float) -> None:
    """Until nothing is left to expire."""
    while await backend.store.expire(cutoff):
        pass


async def list_all(backend: Backend, cutoff: float) -> None:
    """Every session, in pages of 500."""
    after = None
    while page := await backend.store.list(alive_since=cutoff, limit=500, after=after):
        after = page[-1].id


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stores", description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    arguments = parser.parse_args()
    for kind in ("memory", "sqlite", "redis"):
        await measure(kind, arguments.sessions)


if __name__ == "__main__":
    trio.run(main)
