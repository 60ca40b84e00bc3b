"""What a running server tells its operator: GET /status on its own socket, and ``mcpd status``."""

import time
from collections import Counter

import msgspec

from mcpd.telemetry import families
from mcpd.telemetry.meters import Series, Snapshot
from mcpd.telemetry.report import LogLine, Report

SHOWN = 10  # busiest tools, clients


class ToolStatus(msgspec.Struct):
    """Calls of one tool since the start.

    Attributes:
        failed: answered with an error, or as a tool that failed.
        mean_ms: that they took.
        p99_ms: all but one in a hundred took less, as far as the buckets of the metric tell.
    """

    name: str
    calls: int
    failed: int
    mean_ms: float
    p99_ms: float


class Status(msgspec.Struct):
    """All that ``mcpd status`` shows; numbers of all processes together."""

    version: str
    server: str
    pid: int
    pids: list[int]
    uptime_s: float
    listeners: list[str]
    ready: bool
    missing: list[str]
    store: str
    store_state: str
    sessions: dict[str, int]
    streams: int
    connections: int
    calls_running: int
    tasks: int
    threads: dict[str, int]
    memory_bytes: int
    event_loop_lag_ms: float
    worker_restarts: int
    requests: dict[str, int]
    tools: list[ToolStatus]
    clients: dict[str, int]
    limits_reached: dict[str, int]
    credentials_refused: dict[str, int]
    lines: list[LogLine]


def status_of(report: Report, *, version: str, pid: int, listeners: list[str]) -> Status:
    """The status that a report tells.

    Args:
        pid: of the process that is told to stop or reload.
    """
    snapshot = report.snapshot
    started = snapshot.value(families.STARTED)
    return Status(
        version=version,
        server=report.server,
        pid=pid,
        pids=report.pids,
        uptime_s=round(max(0.0, time.time() - started), 1) if started else 0.0,
        listeners=listeners,
        ready=not report.missing,
        missing=report.missing,
        store=report.store,
        store_state=report.store_state,
        sessions=_by_label(snapshot.of(families.SESSIONS)),
        streams=int(snapshot.value(families.STREAMS)),
        connections=int(snapshot.value(families.CONNECTIONS)),
        calls_running=int(snapshot.value(families.RUNNING)),
        tasks=int(snapshot.value(families.TASKS)),
        threads=_by_label(snapshot.of(families.THREADS)),
        memory_bytes=int(snapshot.value(families.MEMORY)),
        event_loop_lag_ms=round(1000 * snapshot.value(families.LAG), 1),
        worker_restarts=int(snapshot.value(families.RESTARTS)),
        requests=_by_label(snapshot.of(families.HTTP)),
        tools=_tools(snapshot),
        clients=_clients(snapshot),
        limits_reached=_by_label(snapshot.of(families.LIMITED)),
        credentials_refused=_by_label(snapshot.of(families.CREDENTIALS)),
        lines=report.lines,
    )


def _by_label(series: list[Series]) -> dict[str, int]:
    return {one.labels[0]: int(one.value) for one in sorted(series, key=lambda s: s.labels)}


def _clients(snapshot: Snapshot) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for one in snapshot.of(families.CLIENTS):
        name = " ".join(label for label in one.labels[:2] if label) or "(says no name)"
        counted[name] += int(one.value)
    return dict(counted.most_common(SHOWN))


def _tools(snapshot: Snapshot) -> list[ToolStatus]:
    tools: dict[str, list[Series]] = {}
    for one in snapshot.of(families.OPERATIONS):
        if one.labels[0] == "tools/call" and one.labels[1]:
            tools.setdefault(one.labels[1], []).append(one)
    found = [_tool(name, series) for name, series in tools.items()]
    return sorted(found, key=lambda tool: -tool.calls)[:SHOWN]


def _tool(name: str, series: list[Series]) -> ToolStatus:
    buckets = [sum(counts) for counts in zip(*(one.buckets for one in series), strict=True)]
    calls = sum(buckets)
    failed = sum(sum(one.buckets) for one in series if one.labels[2])
    mean = sum(one.value for one in series) / calls if calls else 0.0
    p99 = _quantile(buckets, families.OPERATIONS.buckets, 0.99)
    return ToolStatus(name, calls, failed, round(1000 * mean, 1), round(1000 * p99, 1))


def _quantile(buckets: list[int], bounds: tuple[float, ...], part: float) -> float:
    """As Prometheus has it: evenly within the bucket in which it lies."""
    below, wanted = 0, part * sum(buckets)
    for place, count in enumerate(buckets[:-1]):
        if count and below + count >= wanted:
            lower = bounds[place - 1] if place else 0.0
            return lower + (bounds[place] - lower) * (wanted - below) / count
        below += count
    return bounds[-1]
