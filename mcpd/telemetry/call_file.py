"""The call log as JSON lines: in a file that is begun anew when it is large, or in the log."""

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from mcpd.errors import StoreError
from mcpd.telemetry.call_entry import Entry

LOG = "log"  # in the place of a file's path: lines of the server's own log
MODE = 0o600

lines = logging.getLogger("mcpd.calls.lines")


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
        """Add a line for each, all of them or none. Every time the file is opened anew, so other
        programs may move it away; several processes take turns.

        Raises:
            StoreError: they are not written.
        """
        data = b"".join(msgspec.json.encode(entry.shown()) + b"\n" for entry in entries)
        try:
            with self._turn():
                size = self._append(data)
                if size >= self._max_bytes:
                    self._rotate()
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}.") from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One process at a time."""
        descriptor = self._open(Path(f"{self._path}.lock"))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _append(self, data: bytes) -> int:
        """The size of the file then."""
        descriptor = self._open(self._path)
        try:
            before, written = os.fstat(descriptor).st_size, 0
            try:
                while written < len(data):
                    written += os.write(descriptor, data[written:])
            except OSError:
                os.ftruncate(descriptor, before)  # half a line would spoil the next one
                raise
            return before + written
        finally:
            os.close(descriptor)

    def _open(self, path: Path) -> int:
        """A regular file: what a device or a pipe does with a writer has no bound."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, MODE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no regular file")
        return descriptor

    def _rotate(self) -> None:
        """Lines that are written already stay, whatever comes of this."""
        with suppress(OSError):
            for number in range(self._kept, 0, -1):
                older = self._path if number == 1 else Path(f"{self._path}.{number - 1}")
                if older.exists():
                    older.replace(f"{self._path}.{number}")
            if not self._kept:
                self._path.unlink(missing_ok=True)


class CallLines:
    """Writes entries into the server's log, whatever its level; its reader, such as journald, keeps
    them.
    """

    def __init__(self) -> None:
        lines.setLevel(logging.INFO)

    def write(self, entries: Sequence[Entry]) -> None:
        """A line for each."""
        for entry in entries:
            fields = {name: value for name, value in entry.shown().items() if value not in ("", 0)}
            lines.info("call", extra={"fields": fields})
