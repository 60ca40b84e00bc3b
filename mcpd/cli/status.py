"""mcpd status: what a running server does."""

import argparse
import http.client
import json
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from mcpd.cli.settings import add_settings, load_settings
from mcpd.errors import ConfigError, McpdError, Unavailable
from mcpd.operations.status import Status
from mcpd.server.folder_owner import within
from mcpd.server.neighbours import FOLDER, ServerRecord, running_servers
from mcpd.server.operations import short_path

ANSWER_S = 10.0
WATCH_EVERY_S = 2.0
_CLEAR = "\x1b[H\x1b[2J"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    parser.add_argument("--watch", action="store_true", help="again every two seconds")
    parser.add_argument("--pid", type=int, help="of one server, where several use the folder")
    add_settings(parser, only=frozenset({"state_dir"}))


def run(arguments: argparse.Namespace) -> int:
    """Print what the server of a state directory tells."""
    shown_as = load_settings(arguments).config.state_path
    folder = within(shown_as)
    while True:
        record = find_server(folder, arguments.pid, shown_as)
        data = ask(folder, record, "GET", "/status")
        if arguments.watch and sys.stdout.isatty():
            print(_CLEAR, end="")
        print(data.decode() if arguments.json else shown(msgspec.json.decode(data, type=Status)))
        if not arguments.watch:
            return 0
        sys.stdout.flush()
        time.sleep(WATCH_EVERY_S)


def find_server(folder: Path, pid: int | None, shown_as: Path) -> ServerRecord:
    """The server that uses a state directory.

    Args:
        shown_as: the directory, as the operator knows it.

    Raises:
        Unavailable: none runs.
        ConfigError: several do, and it is not said which.
    """
    found = [one for one in running_servers(folder) if pid in (None, one.pid)]
    if not found:
        raise Unavailable(
            f"No server runs with the state directory {shown_as}, as far as you may see.",
            fix="Give its --state-dir; a service's is often /var/lib/mcpd, and needs its user.",
        )
    if len(found) > 1:
        told = "; ".join(map(str, found))
        raise ConfigError(f"Several servers use {shown_as}: {told}.", fix="Give --pid.")
    return found[0]


class _Connection(http.client.HTTPConnection):
    """To a Unix socket."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._folder = folder
        self._name = name

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_S)
        with short_path(self._folder, self._name) as path:
            self.sock.connect(path)


def ask(
    folder: Path, record: ServerRecord, method: str, path: str, body: bytes | None = None
) -> bytes:
    """What a server answers on its own socket.

    Raises:
        Unavailable: it does not answer.
        McpdError: it refuses, with its words.
    """
    connection = _Connection(folder / FOLDER, record.socket)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        data = response.read()
    except PermissionError as error:
        raise Unavailable(
            f"The server (process {record.pid}) may not be asked.",
            fix="Run this as its user, or as root.",
        ) from error
    except TimeoutError as error:
        raise Unavailable(
            f"The server (process {record.pid}) does not answer within {ANSWER_S:g} s.",
            fix="A tool may block its event loop: see its log, lines of mcpd.watchdog.",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(
            f"The server (process {record.pid}) cannot be reached: {error}.",
            fix="It may have ended a moment ago, or be of an older version.",
        ) from error
    finally:
        connection.close()
    if response.status >= 400:
        told = json.loads(data)
        raise McpdError(str(told.get("error_description")), fix=str(told.get("fix", "")))
    return data


def shown(status: Status) -> str:
    """For people."""
    parts = [_summary(status), _tools(status)]
    parts.append(_counted("CALLS BY CLIENT", status.clients))
    parts.append(_counted("REFUSED BY A LIMIT", status.limits_reached))
    parts.append(_counted("CREDENTIALS REFUSED", status.credentials_refused))
    lines = [f"  {_when(one.when)} {one.level:<7} {one.message}" for one in status.lines]
    parts.append("\n".join(["LAST WARNINGS AND ERRORS", *lines]) if lines else "")
    return "\n\n".join(part for part in parts if part)


def _summary(status: Status) -> str:
    ready = "ready" if status.ready else f"NOT READY: {', '.join(status.missing)}"
    sessions = ", ".join(f"{number} {state}" for state, number in status.sessions.items())
    rows = {
        "server": f"{status.server} on mcpd {status.version}, {ready}",
        "process": f"{status.pid}, up {_duration(status.uptime_s)}"
        + (f"; workers {', '.join(map(str, status.pids))}" if status.pids != [status.pid] else "")
        + (f"; {status.worker_restarts} restarted" if status.worker_restarts else ""),
        "listens on": ", ".join(status.listeners),
        "store": f"{status.store}, {status.store_state}",
        "sessions": sessions or "none",
        "open now": f"{status.connections} connections, {status.streams} streams,"
        f" {status.calls_running} calls in sessions, {status.tasks} tasks",
        "threads": ", ".join(f"{number} {state}" for state, number in status.threads.items()),
        "memory": f"{status.memory_bytes / 2**20:.0f} MiB",
        "event loop": f"late by {status.event_loop_lag_ms:g} ms at most, of the last minute",
        "answers": ", ".join(f"{n} with {code}" for code, n in status.requests.items()) or "none",
    }
    return "\n".join(f"{name:<11} {value}" for name, value in rows.items())


def _tools(status: Status) -> str:
    if not status.tools:
        return ""
    form = "  {:<32} {:>9} {:>8} {:>10} {:>12}"
    lines = [form.format("TOOL", "CALLS", "FAILED", "MEAN MS", "P99 MS")]
    for tool in status.tools:
        name = tool.name if len(tool.name) <= 32 else f"{tool.name[:31]}…"
        lines.append(form.format(name, tool.calls, tool.failed, tool.mean_ms, tool.p99_ms))
    return "\n".join(["BUSIEST TOOLS", *lines])


def _counted(title: str, counts: dict[str, int]) -> str:
    if not counts:
        return ""
    return "\n".join([title, *(f"  {name:<40} {number:>9}" for name, number in counts.items())])


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _duration(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts: list[tuple[int, Any]] = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    told = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(told[:2]) or "0 s"
