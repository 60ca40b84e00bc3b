"""A lock that costs little while no other task wants it."""

from types import TracebackType

import trio


class Turn:
    """Tasks have it one after the other, in the order in which they asked: ``async with turn``.

    Taking it is no checkpoint while it is free, unlike with ``trio.Lock``: what is done with it
    must have one.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = trio.Lock()

    @property
    def is_taken(self) -> bool:
        """Whether a task has it."""
        return self._lock.locked()

    async def __aenter__(self) -> None:
        if self._lock.locked():
            await self._lock.acquire()
        else:
            self._lock.acquire_nowait()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()
