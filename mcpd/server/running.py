"""What a server needs while it serves, wired once for every transport.

Nesting order is lifetime order: upkeep outlives the apps' lifespans, these outlive the calls, and
the calls outlive the connections, which are the caller's.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from mcpd.errors import StoreError
from mcpd.mcp.runtime import Runtime
from mcpd.server.apps import enter_lifespans
from mcpd.sessions.backend import Backend

log = logging.getLogger("mcpd.server")

FLUSH_AT_END_S = 10.0  # for activity times to reach the store when stopping

Upkeep = Callable[[], Awaitable[None]]


@asynccontextmanager
async def running(
    backend: Backend, runtime: Runtime, state_path: Path, *upkeep: Upkeep
) -> AsyncIterator[trio.CancelScope]:
    """Run what messages are served with. The block gets the scope of the calls that outlive their
    connections; they end with it, and what is unfinished is left to other processes.

    Args:
        state_path: where apps keep their files.
        upkeep: what else runs for as long.

    Raises:
        ConfigError: the store cannot be used, or a lifespan failed.
    """
    async with trio.open_nursery() as nursery:
        await backend.start(nursery)
        for job in upkeep:
            nursery.start_soon(job)
        nursery.start_soon(runtime.sessions.run_upkeep)
        runtime.start_upkeep(nursery)
        async with AsyncExitStack() as lifespans:
            await enter_lifespans(lifespans, runtime.catalog, state_path)
            async with trio.open_nursery() as calls:
                yield await calls.start(runtime.in_flight.run)
                runtime.streams.abandon()
                calls.cancel_scope.cancel()
        await _leave_store(backend)
        nursery.cancel_scope.cancel()


async def _leave_store(backend: Backend) -> None:
    """Write what is behind, and leave unfinished calls to other processes."""
    with trio.move_on_after(FLUSH_AT_END_S, shield=True):
        try:
            if backend.ownership is not None:
                await backend.ownership.disown_all()
        except StoreError as error:  # other processes notice by themselves, a little later
            log.info("the store was not told that this process ends: %s", error.message)
        try:
            await backend.store.flush()
        except StoreError as error:
            log.error("activity of the last seconds is lost: %s", error.message)
