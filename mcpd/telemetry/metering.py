"""Events become counts: the one listener that feeds the meters."""

from bisect import bisect_left
from typing import TypeVar

from mcpd.events import (
    CallRecovered,
    CallServed,
    CredentialRefused,
    LimitReached,
    Registered,
    RequestServed,
    SessionBegun,
    SessionEnded,
    SessionsSwept,
    StoreUsed,
    StreamResumed,
)
from mcpd.observer import Observer
from mcpd.telemetry import families
from mcpd.telemetry.meters import Meters, Series

LABEL_CHARS = 64  # of what a client says of itself
MAX_KNOWN = 2000  # outcomes, and clients

_Outcome = tuple[str, str, int, bool, bool]
K = TypeVar("K")


class Metering:
    """Counts what an observer tells.

    Args:
        meters: of this process.
    """

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._sent = meters[families.HTTP_BYTES].find(())
        self._statuses: dict[int, Series] = {}
        self._calls: dict[_Outcome, Series] = {}  # by what is told of them, found once
        self._clients: dict[tuple[str, str], Series] = {}  # by name with version, and revision

    def listen(self, observer: Observer) -> None:
        """Count from here on."""
        observer.listen(CallServed, self.call)
        observer.listen(RequestServed, self.request)
        observer.listen(StoreUsed, self.store)
        count = self._meters
        observer.listen(
            Registered, lambda e: count[families.REGISTRATIONS].add((e.kind, e.outcome))
        )
        observer.listen(SessionBegun, lambda e: count[families.SESSIONS_BEGUN].add((e.revision,)))
        observer.listen(
            SessionEnded,
            lambda e: count[families.SESSION_SECONDS].observe((e.revision,), e.seconds),
        )
        observer.listen(SessionsSwept, lambda e: count[families.SWEPT].add((), e.number))
        observer.listen(LimitReached, lambda e: count[families.LIMITED].add((e.limit,)))
        observer.listen(CredentialRefused, lambda e: count[families.CREDENTIALS].add((e.reason,)))
        observer.listen(StreamResumed, lambda e: count[families.RESUMED].add((e.outcome,)))
        observer.listen(CallRecovered, lambda e: count[families.RECOVERED].add((e.outcome,)))

    def call(self, served: CallServed) -> None:
        """One request of MCP. It is heard for every call, so series are looked up but once."""
        outcome = (
            served.method, served.target, served.code, served.is_error, served.cancelled
        )  # fmt: skip
        series = self._calls.get(outcome)
        if series is None:
            series = self._find_call(outcome, served)
        series.value += served.seconds
        series.buckets[bisect_left(families.SECONDS, served.seconds)] += 1
        client = (served.client, served.revision)
        series = self._clients.get(client)
        if series is None:
            series = self._find_client(client, served)
        series.value += 1

    def _find_call(self, outcome: _Outcome, served: CallServed) -> Series:
        tool = served.target if served.method == "tools/call" else ""
        labels = (served.method, tool, served.error_type)
        series = self._meters[families.OPERATIONS].find(labels)
        return _remember(self._calls, outcome, series)

    def _find_client(self, client: tuple[str, str], served: CallServed) -> Series:
        """By name, version and revision, bounded: it is the client that says them."""
        name = served.client.removesuffix(served.client_version).rstrip()
        labels = (name[:LABEL_CHARS], served.client_version[:LABEL_CHARS], served.revision)
        printable = tuple("".join(c if c.isprintable() else "?" for c in text) for text in labels)
        return _remember(self._clients, client, self._meters[families.CLIENTS].find(printable))

    def request(self, served: RequestServed) -> None:
        """One request of HTTP."""
        series = self._statuses.get(served.status)
        if series is None:
            series = self._meters[families.HTTP].find((str(served.status),))
            self._statuses[served.status] = series
        series.value += 1
        self._sent.value += served.size

    def store(self, used: StoreUsed) -> None:
        """One use of a store."""
        error = "failed" if used.failed else ""
        labels = (used.store, used.operation, error)
        self._meters[families.STORE].observe(labels, used.seconds)


def _remember(table: dict[K, Series], key: K, series: Series) -> Series:
    if len(table) >= MAX_KNOWN:
        table.clear()
    table[key] = series
    return series
