"""What all workers count, as one."""

import time
from collections.abc import Iterable

import trio

from mcpd.server.child import Child
from mcpd.server.reload import InForce
from mcpd.telemetry.families import LOG_LINES, READY, RESTARTS, STARTED, WORKERS
from mcpd.telemetry.logs import LogWriter, set_level
from mcpd.telemetry.meters import Meters, Snapshot, counts_of, without_gauges
from mcpd.telemetry.report import Report, together

SILENT_S = 5.0  # without a report, until what it said of itself is not told any more


class WorkersReport:
    """Of the workers of one supervisor.

    Args:
        children: that are there, those that drain included; changes while this is used.

    Attributes:
        restarts: of workers that ended by themselves.
        level: of all logs, as an operator wants it; empty: as the settings say.
    """

    def __init__(self, children: Iterable[Child], writer: LogWriter) -> None:
        self._children = children
        self._writer = writer
        self._gone = Snapshot()
        self._started = time.time()
        self.restarts = 0
        self.level = ""

    def begun(self, nursery: trio.Nursery, child: Child) -> None:
        """Its log has the level that all others have."""
        if self.level:
            nursery.start_soon(child.reports.set_level, self.level)

    def ended(self, child: Child) -> None:
        """What it has counted stays; nothing must count backwards."""
        if child.reports.latest is not None:
            self._gone = counts_of(self._gone, child.reports.latest.snapshot)

    async def collect(self) -> Report:
        """What they told last. Of one that is silent only its counts are told."""
        fresh, counted, missing = [], [self._gone], []
        now = trio.current_time()
        for child in sorted(self._children, key=lambda child: child.pid):
            report, silent_s = child.reports.latest, now - child.reports.heard_at
            if report is not None and silent_s <= SILENT_S:
                fresh.append(report)
                continue
            if report is not None:
                counted.append(without_gauges(report.snapshot))
            if silent_s > SILENT_S:
                missing.append(f"worker {child.pid} tells nothing since {silent_s:.0f} s")
        if not fresh:
            missing.append("no worker serves")
        counted.append(self._own(ready=not missing))
        whole = together(fresh, counted, list(self._writer.recent))
        whole.missing = sorted({*whole.missing, *missing})
        return whole

    def _own(self, *, ready: bool) -> Snapshot:
        own = Meters()
        own[RESTARTS].add((), self.restarts)
        own[STARTED].set(self._started)
        own[WORKERS].set(0)  # it serves nothing itself
        own[READY].set(float(ready))
        for level, number in list(self._writer.warned.items()):  # other threads add to it
            own[LOG_LINES].add((level,), number)
        return own.snapshot()

    def set_level(self, nursery: trio.Nursery, level: str) -> None:
        """Change the level of all their logs, and of those that come, until a reload."""
        self.level = level
        set_level(level)
        for child in self._children:
            nursery.start_soon(child.reports.set_level, level)

    def reloaded(self, old: InForce, fresh: InForce) -> None:
        """The settings count again; the workers read them themselves."""
        self.level = ""
        set_level(fresh.config.log_level)
