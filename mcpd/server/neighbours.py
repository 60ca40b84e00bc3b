"""Other servers on this machine: what a second one is told of the first.

Each server has a file in its state directory, locked for as long as its process lives, so a file
without a lock tells of a process that is gone. ``mcpd reload`` reads there what came of it.
"""

import fcntl
import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import trio

from mcpd.errors import StoreError, Unavailable
from mcpd.version import __version__

log = logging.getLogger("mcpd.server")

FOLDER = "servers"  # in the state directory
SOCKET = ".sock"
RECORD_BYTES = 4096  # of every file: written in one piece, so that no reader finds half of it
PROBE_S = 1.0  # for what listens on an address to say what it is
PROBE_BYTES = 4096  # read of its answer
MAX_URLS = 8  # kept of a server
MAX_TOLD_CHARS = 1000  # kept of what came of a reload
MARK_BYTES = 6  # of a variable's hash


class ServerRecord(msgspec.Struct):
    """What a server tells of itself to other processes of its user."""

    pid: int
    urls: list[str]
    version: str = __version__
    unit: str = ""  # of systemd, if it runs in one
    started: float = msgspec.field(default_factory=time.time)  # Unix seconds
    invocation: str = ""  # INVOCATION_ID of systemd
    variables: dict[str, str] = {}  # marks of its environment, see ``mark_variables``
    reloads: int = 0  # how often it was told to reload, and has done so or refused
    reload_failed: bool = False  # the last time: what was in force stayed
    reload_told: str = ""  # what came of it
    socket: str = ""  # beside the record, where operators ask

    def __str__(self) -> str:
        where = f", {self.unit}" if self.unit else ""
        return f"mcpd {self.version} (process {self.pid}{where}) on {', '.join(self.urls)}"

    @property
    def how_to_stop(self) -> str:
        """A command."""
        return f"systemctl stop {self.unit}" if self.unit else f"kill {self.pid}"


@dataclass(slots=True)
class Presence:
    """The record of this process; without a file if the state directory is not to be written."""

    record: ServerRecord
    descriptor: int | None = None
    path: Path | None = None

    def reloaded(self, told: str, *, failed: bool) -> None:
        """Tell ``mcpd reload`` what came of it."""
        self.record.reloads += 1
        self.record.reload_failed = failed
        self.record.reload_told = told[:MAX_TOLD_CHARS]
        self.write()

    def write(self) -> None:
        """Bring the file up to date."""
        if self.descriptor is None:
            return
        with suppress(OSError):  # a full disk: nothing but the word to others is lost
            os.pwrite(self.descriptor, _encode(self.record), 0)


def _encode(record: ServerRecord) -> bytes:
    data = msgspec.json.encode(record)
    if len(data) >= RECORD_BYTES:
        data = msgspec.json.encode(msgspec.structs.replace(record, reload_told="", variables={}))
    return data.ljust(RECORD_BYTES - 1) + b"\n"


def mark_variables(environ: Mapping[str, str], salt: str) -> dict[str, str]:
    """A mark of each of our variables, by which one can tell that it changed, and nothing else."""
    return {
        name: hashlib.blake2b(value.encode(), digest_size=MARK_BYTES, key=salt.encode()).hexdigest()
        for name, value in environ.items()
        if name.startswith("MCPD_") or name == "JWT_SECRET_KEY"
    }


@contextmanager
def present(
    state_path: Path, urls: list[str], unit: str, environ: Mapping[str, str]
) -> Iterator[Presence]:
    """Be found by other processes while the block runs."""
    invocation = environ.get("INVOCATION_ID", "")[:32]
    marks = mark_variables(environ, invocation) if invocation else {}
    record = ServerRecord(
        os.getpid(), urls[:MAX_URLS], unit=unit, invocation=invocation, variables=marks
    )
    path = state_path / FOLDER / f"{os.getpid()}-{secrets.token_hex(4)}"
    record.socket = path.name + SOCKET
    presence = Presence(record)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        running_servers(state_path)  # files of processes that were killed go
        presence.descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
        fcntl.flock(presence.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        presence.path = path
    except OSError as error:
        log.debug("%s cannot be written: %s", path.parent, error.strerror)
    presence.write()
    try:
        yield presence
    finally:
        if presence.descriptor is not None:
            path.unlink(missing_ok=True)
            os.close(presence.descriptor)


def running_servers(state_path: Path) -> list[ServerRecord]:
    """The servers that use a state directory, as far as this user may see; the oldest first."""
    found = []
    with suppress(OSError):
        for path in (state_path / FOLDER).iterdir():
            if path.suffix == SOCKET:
                continue
            with suppress(OSError, msgspec.DecodeError):
                if (record := _read(path)) is not None:
                    found.append(record)
    return sorted(found, key=lambda record: record.started)


def _read(path: Path) -> ServerRecord | None:
    """None, and no file any more: its process is gone."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return msgspec.json.decode(file.read(RECORD_BYTES), type=ServerRecord)
        if time.time() - os.fstat(file.fileno()).st_mtime > PROBE_S:  # one was made just now
            path.unlink(missing_ok=True)
            path.with_name(path.name + SOCKET).unlink(missing_ok=True)
        return None


def state_in_use(state_path: Path, error: Unavailable) -> Unavailable:
    """``error`` of a store that another process holds, with what is known of that process."""
    if isinstance(error, StoreError):
        return error
    for record in running_servers(state_path):
        return Unavailable(
            f"The state directory {state_path} is in use by {record}.", fix=_own_place(record)
        )
    return error


def _own_place(other: ServerRecord) -> str:
    return (
        f"Stop that one ({other.how_to_stop}), or give this one a --port and a --state-dir of its"
        " own; tokens for it are made with the same --state-dir."
    )


async def in_use(
    where: str, state_path: Path, host: str, port: int | None = None, *, flag: str = ""
) -> Unavailable:
    """What to tell of an address on which another process listens.

    Args:
        state_path: where a server is looked for that may be the one.
        host: or the path of a Unix socket, if ``port`` is None.
        flag: that names another address; empty: of clients.
    """
    end = f"unix:{host}" if port is None else f":{port}"
    for record in running_servers(state_path):
        if any(url.endswith(end) for url in record.urls):
            return Unavailable(f"{where} is in use by {record}.", fix=_own_place(record))
    told = await _probe(host, port)
    flag = flag or ("--unix" if port is None else "--port")
    if told is None:
        return Unavailable(
            f"Another process listens on {where}.", fix=f"Stop it, or give another {flag}."
        )
    return Unavailable(
        f"Another mcpd listens on {where}: {told}.",
        fix=f"Stop that one, or give this one a {flag} and a --state-dir of its own; tokens for it"
        " are made with the same --state-dir.",
    )


async def _probe(host: str, port: int | None) -> str | None:
    """Which mcpd answers there, in words."""
    answer = b""
    with trio.move_on_after(PROBE_S), suppress(OSError, trio.BrokenResourceError):
        if port is None:
            stream = await trio.open_unix_socket(host)
        else:
            target = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
            stream = await trio.open_tcp_stream(target, port)
        async with stream:
            await stream.send_all(
                b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
            )
            while len(answer) < PROBE_BYTES and (data := await stream.receive_some(PROBE_BYTES)):
                answer += data
    try:
        health = json.loads(answer.partition(b"\r\n\r\n")[2])
        return (
            f"it serves {health['server']} {health['version']}" if health["mcp_endpoint"] else None
        )
    except (ValueError, KeyError, TypeError):
        return None


def unit_of(environ: Mapping[str, str]) -> str:
    """The unit of systemd that this process is the service of, or ""."""
    if "NOTIFY_SOCKET" not in environ:
        return ""
    with suppress(OSError, IndexError):
        name = Path("/proc/self/cgroup").read_text().strip().rpartition("/")[2]
        return name if name.endswith(".service") and name.isprintable() else ""
    return ""
