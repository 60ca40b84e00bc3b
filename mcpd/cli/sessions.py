"""mcpd sessions: look at a store, end sessions in it, and move them to another one."""

import argparse
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from mcpd.cli.settings import add_settings, load_settings, run_loop
from mcpd.config import Config
from mcpd.errors import ConfigError
from mcpd.files import open_private
from mcpd.operations.session_transfer import export_lines, import_lines
from mcpd.server.backends import backend_beside, sqlite_path
from mcpd.sessions.backend import Backend
from mcpd.sessions.bus import Signal, SignalKind
from mcpd.sessions.record import Session, SessionId
from mcpd.start_failures import start_failure

SETTINGS = frozenset({"store", "state_dir", "session_timeout_s"})
PAGE = 500
COLUMNS = "{:36}  {:16}  {:24}  {:10}  {:>8}"

Act = Callable[[Backend, argparse.Namespace, float], Awaitable[int]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions, each with its flags."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="who is there, one a line")
    listing.add_argument("--json", action="store_true", help="the records, one a line")
    show = actions.add_parser("show", help="everything that is kept of one session")
    show.add_argument("id")
    end = actions.add_parser("end", help="end sessions; their clients begin new ones")
    end.add_argument("id", nargs="+")
    export = actions.add_parser("export", help="write all sessions to a file, one a line")
    export.add_argument("file", type=Path, nargs="?", help="without it: standard output")
    taking = actions.add_parser("import", help="take in what export wrote")
    taking.add_argument("file", type=Path, nargs="?", help="without it: standard input")
    for action in (listing, show, end, export, taking):
        add_settings(action, only=SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    """Do one thing with the store; a running server notices within seconds."""
    config = load_settings(arguments).config
    acts: dict[str, Act] = {
        "list": _list, "show": _show, "end": _end, "export": _export, "import": _import,
    }  # fmt: skip
    must_exist = arguments.action != "import"

    async def main() -> int:
        async with _opened(config, must_exist=must_exist) as backend:
            alive_since = backend.clock() - config.session_timeout_s
            return await acts[arguments.action](backend, arguments, alive_since)

    return run_loop(main)


@asynccontextmanager
async def _opened(config: Config, *, must_exist: bool) -> AsyncIterator[Backend]:
    if config.store == "memory":
        raise ConfigError("A store in memory is gone with its process.", fix="Give --store.")
    if config.store.startswith("sqlite") and must_exist and not sqlite_path(config).exists():
        raise ConfigError(
            f"There is no store at {sqlite_path(config)}.", fix="Give --store or --state-dir."
        )
    async with backend_beside(config) as backend:
        yield backend


async def _pages(backend: Backend, alive_since: float) -> AsyncIterator[list[Session]]:
    after: SessionId | None = None
    while page := await backend.store.list(alive_since=alive_since, limit=PAGE, after=after):
        yield page
        after = page[-1].id


async def _list(backend: Backend, arguments: argparse.Namespace, alive_since: float) -> int:
    if not arguments.json:
        print(COLUMNS.format("SESSION", "USER", "CLIENT", "REVISION", "IDLE"))
    async for page in _pages(backend, alive_since):
        now = backend.clock()
        for session in page:
            print(msgspec.json.encode(session).decode() if arguments.json else _line(session, now))
    return 0


def _line(session: Session, now: float) -> str:
    client = f"{session.client_name} {session.client_version}".strip() or "-"
    idle = f"{max(0, now - session.last_activity):.0f} s"
    revision = session.revision or "-"
    return COLUMNS.format(session.id, session.subject or "-", client[:24], revision, idle)


async def _show(backend: Backend, arguments: argparse.Namespace, alive_since: float) -> int:
    session = await backend.store.get(SessionId(arguments.id), alive_since=alive_since)
    if session is None:
        return _unknown(arguments.id)
    print(msgspec.json.format(msgspec.json.encode(session), indent=2).decode())
    return 0


async def _end(backend: Backend, arguments: argparse.Namespace, alive_since: float) -> int:
    codes = []
    for text in arguments.id:
        found = await backend.store.end(SessionId(text))
        if found:
            backend.bus.publish(Signal(SignalKind.ENDED, text))
            print(f"ended {text}")
        codes.append(0 if found else _unknown(text))
    await backend.store.count()  # what was published has gone out when this comes back
    return max(codes)


def _unknown(session_id: str) -> int:
    told = f"mcpd: there is no session {session_id[:128]}; mcpd sessions list shows which are"
    print(told, file=sys.stderr)
    return 1


async def _export(backend: Backend, arguments: argparse.Namespace, alive_since: float) -> int:
    count = 0
    with _file(arguments.file, "wb", sys.stdout.buffer) as file:
        async for line in export_lines(partial(_pages, backend, alive_since)):
            file.write(line)
            count += 1
    print(f"sessions exported: {count - 1}", file=sys.stderr)
    return 0


async def _import(backend: Backend, arguments: argparse.Namespace, alive_since: float) -> int:
    with _file(arguments.file, "rb", sys.stdin.buffer) as file:
        done = await import_lines(file, backend.store, alive_since=alive_since)
    passed_over = f"there already: {done.known}, expired: {done.expired}"
    print(f"sessions imported: {done.new}, {passed_over}", file=sys.stderr)
    return 0


class _Shared:
    """A stream that is not ours to close."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> Any:
        return self._file

    def __exit__(self, *_: object) -> None:
        self._file.flush() if self._file.writable() else None


def _file(path: Path | None, mode: str, standard: Any) -> Any:
    if path is None:
        return _Shared(standard)
    try:
        if mode == "wb":
            return os.fdopen(open_private(path, os.O_WRONLY | os.O_TRUNC), mode)
        return path.open(mode)
    except OSError as error:
        raise start_failure(error, f"{path} cannot be opened: {error.strerror}.") from error
