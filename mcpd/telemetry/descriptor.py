"""Writing to a descriptor that is perhaps not read: never for longer than a bound.

A descriptor such as stderr is shared with other processes, so it cannot be made non-blocking; that
would be in force for all of them. A second open of the same pipe or terminal is our own.
"""

import contextlib
import os
import select
import socket
import stat
import sys
import time
from typing import Any, TextIO

SAY_S = 1.0  # for the last words of a process to be taken
PIECE_BYTES = 4096  # PIPE_BUF of Linux: a pipe that select calls writable takes so much whole


class Descriptor:
    """A descriptor of another owner, which stays open.

    Args:
        number: where bytes go.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._socket: socket.socket | None = None
        self._own = number
        self._is_prepared = False

    def write(self, data: bytes, limit_s: float) -> int:
        """Write as much as is taken within ``limit_s``; returns how much that was.

        Raises:
            OSError: nothing will ever be written there; the reader is gone.
        """
        if not self._is_prepared:  # late: a process that forks or execs may change it until then
            self._prepare()
        deadline = time.monotonic() + limit_s
        written = 0
        while written < len(data):
            try:
                written += self._write_now(data[written : written + PIECE_BYTES])
            except BlockingIOError:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not self._wait(left_s):
                    return written
        return written

    def _prepare(self) -> None:
        self._is_prepared = True
        mode = os.fstat(self._number).st_mode
        if stat.S_ISSOCK(mode):  # journald's stream
            self._socket = socket.socket(fileno=os.dup(self._number))
        elif not stat.S_ISREG(mode):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            try:
                self._own = os.open(f"/dev/fd/{self._number}", flags)
            except OSError:  # no such folder, or not ours: then select decides
                self._own = self._number

    def _write_now(self, piece: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(piece, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if self._own == self._number and not self._wait(0):
            raise BlockingIOError
        return os.write(self._own, piece)

    def _wait(self, seconds: float) -> bool:
        """Whether it takes something within this time."""
        waiting = select.poll()
        waiting.register(self._own if self._socket is None else self._socket, select.POLLOUT)
        return bool(waiting.poll(max(0, seconds) * 1000))

    def close(self) -> None:
        """Give back what was opened beside it."""
        if self._socket is not None:
            self._socket.close()
        elif self._own != self._number:
            os.close(self._own)
        self._socket, self._own, self._is_prepared = None, self._number, False


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line, unless the reader of the stream has stalled: the process has to go on anyway.

    Args:
        stream: stderr by default.
    """
    told: Any = sys.stderr if stream is None else stream
    if told is None:  # the process was started with it closed
        return
    if told not in (sys.__stderr__, sys.__stdout__):  # a test has put another one there
        print(text, file=told)
        return
    with contextlib.suppress(OSError, ValueError):  # closed, or the reader is gone
        told.flush()
        descriptor = Descriptor(told.fileno())
        descriptor.write(f"{text}\n".encode("utf-8", "backslashreplace"), SAY_S)
        descriptor.close()
