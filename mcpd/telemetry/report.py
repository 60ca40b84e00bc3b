"""What a process tells of itself: counts, and what is worth a look."""

from collections.abc import Iterable, Sequence

import msgspec

from mcpd.telemetry.meters import Snapshot, merged

MAX_LINES = 20  # of the log that are kept for it


class LogLine(msgspec.Struct):
    """A line of the log that warns.

    Attributes:
        when: Unix seconds.
    """

    when: float
    level: str
    logger: str
    message: str


class Report(msgspec.Struct):
    """Of one process, or of several as one.

    Attributes:
        pids: of the processes that serve.
        server: name and version of the first app.
        store: its kind.
        store_state: ``ok``, or in a word what is wrong.
        missing: why it is not ready, in words; empty: it is.
        lines: of the log that warn, the newest last.
    """

    pids: list[int] = []
    server: str = ""
    store: str = ""
    store_state: str = ""
    missing: list[str] = []
    snapshot: Snapshot = msgspec.field(default_factory=Snapshot)
    lines: list[LogLine] = []


def together(
    reports: Sequence[Report], others: Iterable[Snapshot] = (), lines: Sequence[LogLine] = ()
) -> Report:
    """Several processes as one.

    Args:
        others: what else is counted.
        lines: of the process that puts them together.
    """
    every = [line for report in reports for line in report.lines] + list(lines)
    first = reports[0] if reports else Report()
    bad = next((r.store_state for r in reports if r.store_state != "ok"), first.store_state)
    return Report(
        [pid for report in reports for pid in report.pids],
        first.server,
        first.store,
        bad,
        sorted({word for report in reports for word in report.missing}),
        merged([*others, *(report.snapshot for report in reports)]),
        sorted(every, key=lambda line: line.when)[-MAX_LINES:],
    )
