"""The report of one server process."""

import os
from dataclasses import dataclass

from mcpd.operations.health import Health
from mcpd.server.gauges import Gauges
from mcpd.telemetry import families
from mcpd.telemetry.logs import LogWriter
from mcpd.telemetry.report import Report


@dataclass(slots=True)
class Reporter:
    """Puts together what operators are told of this process."""

    gauges: Gauges
    health: Health
    writer: LogWriter

    async def report(self) -> Report:
        """What there is now.

        Cancellation: at any await.
        """
        server, missing = self.gauges.server, await self.health.missing()
        meters = self.gauges.meters
        for level, number in list(self.writer.warned.items()):  # other threads add to it
            meters[families.LOG_LINES].set(number, (level,))
        meters[families.READY].set(float(not missing))
        snapshot = await self.gauges.snapshot()
        info = server.catalog.info
        return Report(
            pids=[os.getpid()],
            server=f"{info['name']} {info['version']}",
            store=server.backend.store.kind,
            store_state=self.health.store_state,
            missing=missing,
            snapshot=snapshot,
            lines=list(self.writer.recent),
        )
