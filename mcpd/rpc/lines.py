"""Messages as lines on byte streams (MCP, "stdio")."""

import logging
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import trio

log = logging.getLogger("mcpd.stdio")

READ_BYTES = 64 * 1024
WRITE_S = 60.0  # for the other side to read one line


class LineWriter:
    """Whole lines, whatever is cancelled around them: half of one would spoil the next."""

    def __init__(self, stdout: trio.abc.SendStream) -> None:
        self._stdout = stdout
        self._lock = trio.Lock()
        self._scopes: set[trio.CancelScope] = set()
        self._shielded = True
        self._broken = False

    @property
    def shielded(self) -> bool:
        """Whether lines are written although they are cancelled; off when the reader
        may not be there to read them.
        """
        return self._shielded

    @shielded.setter
    def shielded(self, shielded: bool) -> None:
        self._shielded = shielded
        for scope in self._scopes:
            scope.shield = shielded

    @contextmanager
    def shielding(self) -> Iterator[None]:
        """``shielded`` within the block, however it ends, and off from there on."""
        try:
            yield
        finally:
            self.shielded = False

    async def unshield_at_end(self) -> None:
        """For a task beside those that write: when it is cancelled, lines under way are too."""
        with self.shielding():
            await trio.sleep_forever()

    async def send(self, message: bytes) -> None:
        """Write one line.

        Raises:
            BrokenResourceError: the reader is gone, or did not read for WRITE_S: half a line is
                there then, and no other can follow it.

        Cancellation: it is written all the same, for as long as ``shielded`` holds.
        """
        with trio.CancelScope(shield=self._shielded) as scope:
            self._scopes.add(scope)
            try:
                async with self._lock:
                    await self._write(message)
            finally:
                self._scopes.discard(scope)

    async def _write(self, message: bytes) -> None:
        if self._broken:
            raise trio.BrokenResourceError("half a line was written")
        self._broken = True
        with trio.move_on_after(WRITE_S):
            await self._stdout.send_all(message + b"\n")
            self._broken = False
        if self._broken:
            raise trio.BrokenResourceError(f"the reader did not read for {WRITE_S:g} s")


async def read_lines(stdin: trio.abc.ReceiveStream, max_bytes: int) -> AsyncGenerator[bytes | None]:
    """Lines without their ends; None for one that was too long and is skipped."""
    rest: list[bytes] = []  # of the line that is not whole yet
    size, skipping = 0, False
    while data := await stdin.receive_some(READ_BYTES):
        *ends, begin = bytes(data).split(b"\n")
        for end in ends:
            if not skipping:
                line = b"".join([*rest, end])
                yield line if len(line) <= max_bytes else None
            rest, size, skipping = [], 0, False
        if not skipping:
            rest.append(begin)
            size += len(begin)
        if size > max_bytes:
            yield None
            rest, size, skipping = [], 0, True
    if size and not skipping:
        yield b"".join(rest)


@contextmanager
def suppress_gone() -> Iterator[None]:
    """A client that does not read any more has gone, which is how these conversations end."""
    try:
        yield
    except* trio.BrokenResourceError:
        log.info("the client has gone")


def own_stdio() -> tuple[trio.lowlevel.FdStream, trio.lowlevel.FdStream]:
    """Stdin and stdout for the protocol alone: what prints must not break it."""
    stdin, stdout = trio.lowlevel.FdStream(_own(0)), trio.lowlevel.FdStream(_own(1))
    sys.stdout = sys.stderr
    return stdin, stdout


def _own(descriptor: int) -> int:
    """The descriptor under another number; its own number then leads to /dev/null or stderr."""
    own = os.dup(descriptor)
    if descriptor == 0:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    else:
        os.dup2(2, descriptor)
    return own
