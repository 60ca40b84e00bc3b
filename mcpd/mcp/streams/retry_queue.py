"""What is still to be written to the log by whoever has no time to wait for it.

A connection that closes must not be held up by a store that is away, and must not leave the store
with the wrong idea either: what it owes is written here, when that can be done.
"""

import logging
from collections.abc import Awaitable, Callable, Hashable

import trio

from mcpd.errors import StoreError

STORE_AWAY_S = 1.0  # until it is tried again
MAX_OWED = 100_000  # while the store is away; what expires there by itself may be dropped

log = logging.getLogger("mcpd.mcp")

Job = Callable[[], Awaitable[None]]


class Owed:
    """Jobs that are done once each, in order, and again if the store is away."""

    def __init__(self) -> None:
        self._jobs: dict[Hashable, Job] = {}
        self._wake = trio.Event()

    def add(self, name: Hashable, job: Job) -> None:
        """Do a job soon, in place of an older one of the same name."""
        if len(self._jobs) < MAX_OWED:
            self._jobs[name] = job
            self._wake.set()

    async def run(self) -> None:
        """Do what is owed, for ever."""
        while True:
            if not self._jobs:
                self._wake = trio.Event()
                await self._wake.wait()
            name = next(iter(self._jobs))
            job = self._jobs.pop(name)
            try:
                await job()
            except StoreError as error:
                log.info("what is owed to the store waits: %s", error.message)
                self._jobs.setdefault(name, job)
                await trio.sleep(STORE_AWAY_S)
