"""What is wrong with a database file, in words: for clients, for /health and for the log."""

import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcpd.errors import StoreError
from mcpd.limits.seldom import Seldom

log = logging.getLogger("mcpd.sqlite")


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        state: for /health, in a word.
        words: for clients.
        fix: for the operator.
    """

    state: str
    words: str
    fix: str


FULL = Fault(
    "full",
    "The disk of this server's store is full.",
    "Free space there, or raise the quota; mcpd goes on by itself.",
)
READ_ONLY = Fault(
    "read_only",
    "This server's store is read-only.",
    "Make the file, its folder and its file system writable (dmesg may say why they are not);"
    " mcpd goes on by itself.",
)
FAILING = Fault(
    "failing",
    "The disk of this server's store fails.",
    "Look at dmesg, the disk, its quota and the limit on the size of files (LimitFSIZE=); mcpd"
    " goes on by itself when writing succeeds.",
)
DAMAGED = Fault(
    "damaged",
    "This server's store is damaged.",
    "Stop mcpd, keep a copy of the file, and move it away; what it held is lost to mcpd.",
)
# Primary result codes (https://sqlite.org/rescode.html). What is not here is no fault of the file.
FAULTS: dict[int, Fault] = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_PERM: READ_ONLY,
    sqlite3.SQLITE_IOERR: FAILING,
    sqlite3.SQLITE_CANTOPEN: FAILING,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
}


def fault_of(error: sqlite3.Error) -> Fault | None:
    """The fault of the file behind an error; None: it is none."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else FAULTS.get(code & 0xFF)


def store_error(error: sqlite3.Error) -> StoreError:
    """What clients are told of an error. No path is in it, and nothing of what was written."""
    fault = fault_of(error)
    if fault is not None:
        advice = "Try again later; the server's log says what to do."
        return StoreError(fault.words, fix=advice, lasting=True)
    if "locked" in str(error):
        return StoreError("This server's store is busy.", fix="Try again.")
    return StoreError(f"This server's store refused: {error}.")


class Condition:
    """How one file does, as its last uses showed.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._seldom = Seldom()
        self._fault: Fault | None = None

    @property
    def state(self) -> str:
        """``ok``, or what is wrong in a word."""
        return "ok" if self._fault is None else self._fault.state

    def note(self, error: sqlite3.Error) -> None:
        """A use failed. The log has a fault of the file when it begins, and once in a while."""
        fault = fault_of(error)
        if fault is None:
            return
        begins, self._fault = fault is not self._fault, fault
        if self._seldom.is_due(self._clock(), anyway=begins):
            log.error("%s: %s. %s", self._path, error, fault.fix)

    def wrote(self) -> None:
        """A write succeeded."""
        if self._fault is not None:
            log.warning("%s can be written again", self._path)
            self._fault = None
