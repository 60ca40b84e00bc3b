"""Which store the settings name, opened."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from mcpd.auth.credential_store import CredentialStore
from mcpd.clock import SteadyClock
from mcpd.config import Config
from mcpd.errors import ConfigError
from mcpd.limits.ledger import Ledger, MemoryLedger
from mcpd.server.folder_owner import within
from mcpd.sessions.backend import Backend
from mcpd.sessions.memory.answers import MemoryAnswers
from mcpd.sessions.memory.events import MemoryEvents
from mcpd.sessions.memory.kept import KeptSessions
from mcpd.sessions.memory.store import MemoryStore
from mcpd.sessions.memory.watches import MemoryWatches
from mcpd.sessions.redis.address import is_redis
from mcpd.sessions.sqlite.answers import SqliteAnswers
from mcpd.sessions.sqlite.credentials import SqliteCredentials
from mcpd.sessions.sqlite.events import SqliteEvents
from mcpd.sessions.sqlite.limits import SqliteLedger
from mcpd.sessions.sqlite.ownership import SqliteOwnership
from mcpd.sessions.sqlite.store import SqliteStore
from mcpd.sessions.sqlite.tasks import SqliteTasks
from mcpd.sessions.sqlite.watches import SqliteWatches
from mcpd.sessions.streams import KEEP_FINISHED_S

KINDS = (
    "memory, sqlite, sqlite:PATH, redis://HOST:6379/0, redis+cluster://HOST:6379,… or"
    " redis+sentinel://HOST:26379,…/SERVICE"
)


def open_backend(config: Config, *, alone: bool = True) -> Backend:
    """Open the store that the settings name.

    Args:
        alone: False: beside a server that may use it.

    Raises:
        ConfigError: there is no such kind, or it cannot be opened.
    """
    kind, _, rest = config.store.partition(":")
    keep_running_s = config.request_timeout_s + KEEP_FINISHED_S
    if (kind == "memory" and not rest) or (config.workers > 1 and not is_shared(config)):
        return memory_backend()
    if kind == "sqlite":
        store = SqliteStore(sqlite_path(config), alone=alone)
        process = new_process_name()
        return sqlite_backend(store, process, keep_running_s=keep_running_s)
    if is_redis(config.store):
        return _redis(config, keep_running_s)
    raise ConfigError("There is no such store.", received=kind[:64], fix=f"It is {KINDS}.")


def credentials_path(config: Config) -> Path:
    """The file of API keys and revocations, where they are not in Redis."""
    return config.state_path / "credentials.sqlite"


def open_credentials(config: Config, backend: Backend) -> CredentialStore:
    """What is kept of credentials: in Redis, for all that share it, or in the state directory."""
    return backend.credentials or SqliteCredentials(credentials_path(config))


def open_ledger(config: Config, backend: Backend) -> Ledger:
    """Where it is counted what users do: in Redis, in the state directory for all processes that
    share it, or in memory if nothing else is kept either.
    """
    if backend.ledger is not None:
        return backend.ledger
    if config.store == "memory" and config.workers == 1:
        return MemoryLedger(backend.clock)
    return SqliteLedger(config.state_path, backend.clock)


@asynccontextmanager
async def backend_beside(config: Config) -> AsyncIterator[Backend]:
    """A store, for a command beside a server that may use it.

    Raises:
        ConfigError: it cannot be opened.
    """
    backend = open_backend(config, alone=False)
    try:
        async with trio.open_nursery() as nursery:
            await backend.start(nursery)
            yield backend
            nursery.cancel_scope.cancel()
    finally:
        backend.store.close()


@asynccontextmanager
async def credentials_beside(config: Config) -> AsyncIterator[CredentialStore]:
    """What is kept of credentials, for a command beside a server that may use it; for the rest of
    the life of its process, see ``within``.

    Raises:
        ConfigError, StoreError: it cannot be opened.
    """
    if not is_shared(config):
        path = credentials_path(config)
        store = SqliteCredentials(within(path.parent) / path.name, serves=False)
        try:
            yield store
        finally:
            store.close()
        return
    async with backend_beside(config) as backend:
        yield open_credentials(config, backend)


def is_shared(config: Config) -> bool:
    """Whether several processes can use the store at once. Workers without sessions do without
    such a store; then each has what it needs in memory.
    """
    return is_redis(config.store)


def memory_backend(clock: Callable[[], float] | None = None) -> Backend:
    """Everything in this process."""
    clock = SteadyClock() if clock is None else clock
    store = MemoryStore()
    kept = KeptSessions(store.has)
    events = MemoryEvents(kept, clock)
    return Backend(store, events, MemoryAnswers(kept), MemoryWatches(kept, events), clock=clock)


def sqlite_backend(
    store: SqliteStore,
    process: str,
    *,
    keep_running_s: float,
    clock: Callable[[], float] | None = None,
) -> Backend:
    """Everything in one file.

    Args:
        clock: None: the store's.
    """
    file, clock = store.database, store.clock if clock is None else clock
    return Backend(
        store,
        SqliteEvents(file, process, keep_running_s=keep_running_s, clock=clock),
        SqliteAnswers(file),
        SqliteWatches(file, clock=clock),
        SqliteOwnership(file, process, keep_running_s=keep_running_s, clock=clock),
        tasks=SqliteTasks(file, process, clock=clock),
        process=process,
        clock=clock,
        observed=(file,),
    )


def _redis(config: Config, keep_running_s: float) -> Backend:
    try:
        from mcpd.sessions.redis.opening import open_redis
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"A store in Redis needs the extra redis, which is not installed: there is no"
            f" {error.name}.",
            fix="pip install 'mcpd-server[redis]', or in a clone: pip install '.[redis]'",
        ) from error
    return open_redis(
        config.store,
        new_process_name(),
        timeout_s=config.session_timeout_s,
        keep_running_s=keep_running_s,
    )


def sqlite_path(config: Config) -> Path:
    """The file of a SQLite store."""
    rest = config.store.partition(":")[2]
    return Path(rest) if rest else config.state_path / "sessions.sqlite"


def new_process_name() -> str:
    """A name for this process among all that use a store; no other ever has it."""
    return secrets.token_hex(8)
