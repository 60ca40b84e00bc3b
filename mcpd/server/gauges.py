"""What there is in one process now, measured when it is asked for."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mcpd.errors import StoreError
from mcpd.http.server import HttpServer
from mcpd.server.assembly import Server
from mcpd.telemetry import families
from mcpd.telemetry.meters import Meters, Snapshot
from mcpd.version import __version__

COUNT_EVERY_S = 5.0  # what the store has to count
_LISTS = ("tools", "prompts", "resources", "resourceTemplates")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Gauges:
    """Of one server process.

    Args:
        lag_s: for how long the event loop was late.
    """

    server: Server
    http: HttpServer
    meters: Meters
    lag_s: Callable[[], float]
    started: float = field(default_factory=time.time)
    _counted_at: float = float("-inf")
    # Open for good: where connections have taken all descriptors, this must be told too.
    _statm: int = field(default_factory=lambda: os.open("/proc/self/statm", os.O_RDONLY))

    def close(self) -> None:
        """Nothing is measured any more."""
        os.close(self._statm)

    async def snapshot(self) -> Snapshot:
        """What was counted, with what there is now.

        Cancellation: at any await.
        """
        await self._count_sessions()
        self._set()
        return self.meters.snapshot()

    async def _count_sessions(self) -> None:
        now = time.monotonic()
        if now - self._counted_at < COUNT_EVERY_S:
            return
        self._counted_at = now
        try:
            counts = await self.server.backend.store.count()
        except StoreError:
            return  # the last ones stay; that the store is away is told elsewhere
        sessions = self.meters[families.SESSIONS]
        sessions.set(counts.total - counts.unbound, ("owned",))
        sessions.set(counts.unbound, ("unauthenticated",))

    def _set(self) -> None:
        runtime, set_to = self.server.runtime, self.meters
        set_to[families.STREAMS].set(len(self.server.state.open_ended))
        set_to[families.CONNECTIONS].set(self.http.connection_count)
        set_to[families.RUNNING].set(runtime.limits.caps.calls.total)
        set_to[families.TASKS].set(runtime.limits.caps.tasks.total)
        running, waiting = runtime.catalog.threads.statistics()
        set_to[families.THREADS].set(running, ("running",))
        set_to[families.THREADS].set(waiting, ("waiting",))
        for kind in _LISTS:
            number, size = runtime.catalog.list_size(kind)
            set_to[families.OFFERED].set(number, (kind,))
            set_to[families.LIST_BYTES].set(size, (kind,))
        set_to[families.LAG].set(self.lag_s())
        set_to[families.MEMORY].set(_resident_bytes(self._statm))
        set_to[families.WORKERS].set(1)
        set_to[families.STARTED].set(self.started)
        set_to[families.INFO].set(1, (__version__,))


def _resident_bytes(statm: int) -> int:
    return int(os.pread(statm, 256, 0).split()[1]) * _PAGE_BYTES
