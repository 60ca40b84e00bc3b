"""Messages that are ready together are written together: one write costs as much as ten."""

from collections.abc import Awaitable, Callable
from time import monotonic

import trio

BURST_S = 0.001  # between messages that need not go out one by one
MAX_WAITING = 16  # messages; their sender waits for room
MAX_WAITING_BYTES = 64 * 1024  # before the last of them

Write = Callable[[], Awaitable[None]]


class Coalescer:
    """What waits to be written, in order, and the task that writes it.

    A message that comes alone goes out before its sender goes on, which may compute for long. Those
    that follow within BURST_S of another, or of the beginning, by the time of their sender, wait
    until it waits for something, and then go out together.

    Args:
        write: takes all that waits (``take``), and writes or drops it. What waits is dropped if it
            raises.
        start_soon: starts a task that may outlive the sender.
    """

    __slots__ = (
        "_idle",
        "_is_writing",
        "_returned",
        "_room",
        "_size",
        "_start_soon",
        "_waiting",
        "_write",
    )

    def __init__(self, write: Write, start_soon: Callable[[Write], None]) -> None:
        self._write = write
        self._start_soon = start_soon
        self._waiting: list[bytes] = []
        self._size = 0
        self._is_writing = False
        self._idle = trio.Event()  # set when nothing waits
        self._room: trio.Event | None = None  # while a sender waits for room
        self._returned = monotonic()  # when the sender could go on

    def take(self) -> list[bytes]:
        """All that waits, for who writes it now."""
        taken, self._waiting, self._size = self._waiting, [], 0
        if self._room is not None:
            self._room.set()
            self._room = None
        return taken

    async def put(self, message: bytes) -> bool:
        """Let a message go out soon. No checkpoint for one of a burst that finds room. True: it
        came alone, and was written.

        Cancellation: the message may go out all the same.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while self._is_writing and self._is_full:
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()
        if not self._is_writing:  # first, for it may fail
            self._start_soon(self._run)
            self._is_writing = True
            self._idle = trio.Event()
        self._waiting.append(message)
        self._size += len(message)
        is_alone = monotonic() - self._returned >= BURST_S
        if is_alone:
            await self._idle.wait()
        self._returned = monotonic()
        return is_alone

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) >= MAX_WAITING or self._size >= MAX_WAITING_BYTES

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._write()
        finally:
            self._is_writing = False
            self.take()  # nothing, unless it was cut short
            self._idle.set()
