"""Writes to a store that their caller has no time to wait for.

A connection that closes must not be held up by a store that is away, and must not leave the store
with the wrong idea either: what is still to be written is written here, when that can be done.
"""

import logging
from collections.abc import Awaitable, Callable, Hashable

import trio

from mcpd.errors import StoreError
from mcpd.limits.seldom import Seldom

STORE_AWAY_S = 1.0  # until it is tried again
MAX_WAITING = 100_000  # while the store is away; what expires there by itself may be dropped

log = logging.getLogger("mcpd.mcp")

Write = Callable[[], Awaitable[None]]


class RetryQueue:
    """Writes that are made once each, in order, and again if the store is away."""

    def __init__(self) -> None:
        self._writes: dict[Hashable, Write] = {}
        self._wake = trio.Event()
        self._complaints = Seldom()

    def add(self, name: Hashable, write: Write) -> None:
        """Write soon, in place of an older write of the same name."""
        if len(self._writes) < MAX_WAITING:
            self._writes[name] = write
            self._wake.set()

    async def run(self) -> None:
        """Write, for ever."""
        while True:
            if not self._writes:
                self._wake = trio.Event()
                await self._wake.wait()
            name = next(iter(self._writes))
            write = self._writes.pop(name)
            try:
                await write()
            except StoreError as error:
                if self._complaints.is_due(trio.current_time()):
                    log.warning("writes wait for the store: %s", error.message)
                self._writes.setdefault(name, write)
                await trio.sleep(STORE_AWAY_S)
