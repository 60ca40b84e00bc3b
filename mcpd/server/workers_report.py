"""What all workers count, as one."""

from collections.abc import Iterable

import trio

from mcpd.server.child import Child
from mcpd.telemetry.families import LOG_LINES, RESTARTS
from mcpd.telemetry.logs import LogWriter, set_level
from mcpd.telemetry.meters import Meters, Snapshot, merged
from mcpd.telemetry.report import Report, together


class WorkersReport:
    """Of the workers of one supervisor.

    Args:
        children: that are there, those that drain included; changes while this is used.

    Attributes:
        restarts: of workers that ended by themselves.
    """

    def __init__(self, children: Iterable[Child], writer: LogWriter) -> None:
        self._children = children
        self._writer = writer
        self._gone = Snapshot()
        self.restarts = 0

    def ended(self, child: Child) -> None:
        """What it has counted stays; nothing must count backwards."""
        if child.reports.latest is not None:
            gone = child.reports.latest.snapshot
            self._gone = merged([self._gone, gone], counts_only=True)

    async def collect(self) -> Report:
        """What they told last, not older than a second or two."""
        own = Meters()
        own[RESTARTS].add((), self.restarts)
        for level, number in self._writer.warned.items():
            own[LOG_LINES].add((level,), number)
        reports = [child.reports.latest for child in self._children]
        there = [report for report in reports if report is not None]
        return together(there, [self._gone, own.snapshot()], list(self._writer.recent))

    def set_level(self, nursery: trio.Nursery, level: str) -> None:
        """Change the level of all their logs."""
        set_level(level)
        for child in self._children:
            nursery.start_soon(child.reports.set_level, level)
