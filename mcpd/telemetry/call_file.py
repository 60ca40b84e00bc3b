"""The call log as JSON lines: in a file that is begun anew when it is large, or in the log."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mcpd.errors import StoreError
from mcpd.telemetry.call_entry import Entry

LOG = "log"  # in the place of a file's path: lines of the server's own log
MODE = 0o600

log = logging.getLogger("mcpd.calls")


class CallFile:
    """Writes entries; ``write`` blocks.

    Args:
        path: of the file; ``PATH.1`` is the one before, and so on.
        max_bytes: of one file.
        kept: files beside the current one.
    """

    def __init__(self, path: Path, max_bytes: int, kept: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._kept = kept

    def write(self, entries: Sequence[Entry]) -> None:
        """Add a line for each. Every time the file is opened anew, so other programs may move it
        away, and several processes write whole lines.

        Raises:
            StoreError: they are not written.
        """
        lines = b"".join(msgspec.json.encode(entry.shown()) + b"\n" for entry in entries)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._path, flags, MODE)
            try:
                os.write(descriptor, lines)
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if size >= self._max_bytes:
                self._rotate()
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}.") from error

    def _rotate(self) -> None:
        for number in range(self._kept, 0, -1):
            older = self._path if number == 1 else Path(f"{self._path}.{number - 1}")
            if older.exists():
                older.replace(f"{self._path}.{number}")
        if not self._kept:
            self._path.unlink(missing_ok=True)


class CallLines:
    """Writes entries into the server's log, whose reader, such as journald, keeps them."""

    def write(self, entries: Sequence[Entry]) -> None:
        """A line for each."""
        for entry in entries:
            fields = {name: value for name, value in entry.shown().items() if value not in ("", 0)}
            log.info("call", extra={"fields": fields})
