"""Which store the settings name, opened."""

import secrets
from pathlib import Path

from mcpd.config import Config
from mcpd.errors import ConfigError
from mcpd.sessions.backend import Backend
from mcpd.sessions.log import KEEP_FINISHED_S
from mcpd.sessions.memory import MemoryStore
from mcpd.sessions.memory_log import MemoryLog
from mcpd.sessions.sqlite import SqliteStore
from mcpd.sessions.sqlite_log import SqliteLog

KINDS = "memory, sqlite, sqlite:PATH or redis://HOST:PORT/DB"


def open_backend(config: Config) -> Backend:
    """Open the store that the settings name.

    Raises:
        ConfigError: there is no such kind, or it cannot be opened.
    """
    kind, _, rest = config.store.partition(":")
    keep_running_s = config.request_timeout_s + KEEP_FINISHED_S
    if kind == "memory" and not rest:
        return Backend(MemoryStore(), MemoryLog())
    if kind == "sqlite":
        store = SqliteStore(sqlite_path(config))
        log = SqliteLog(store.database, new_process_name(), keep_running_s=keep_running_s)
        return Backend(store, log)
    raise ConfigError("There is no such store.", received=kind, fix=f"It is {KINDS}.")


def sqlite_path(config: Config) -> Path:
    """The file of a SQLite store."""
    rest = config.store.partition(":")[2]
    return Path(rest) if rest else config.state_path / "sessions.sqlite"


def new_process_name() -> str:
    """A name for this process among all that use a store; no other ever has it."""
    return secrets.token_hex(8)
