"""Events become counts: the one listener that feeds the meters."""

from mcpd.events import (
    CallRecovered,
    CallServed,
    CredentialRefused,
    LimitPassed,
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
from mcpd.telemetry.meters import Meters

TOOL_ERROR = "tool_error"  # OpenTelemetry's word for a result that says isError
CANCELLED = "cancelled"
PRINTABLE_CHARS = 64  # of what a client says of itself


class Metering:
    """Counts what an observer tells.

    Args:
        meters: of this process.
    """

    def __init__(self, meters: Meters) -> None:
        self._operations = meters[families.OPERATIONS]
        self._clients = meters[families.CLIENTS]
        self._http = meters[families.HTTP]
        self._sent = meters[families.HTTP_BYTES]
        self._store = meters[families.STORE]
        self._meters = meters
        self._known: dict[tuple[str, str], tuple[str, str, str]] = {}  # of clients

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
        observer.listen(LimitPassed, lambda e: count[families.LIMITED].add((e.limit,)))
        observer.listen(CredentialRefused, lambda e: count[families.CREDENTIALS].add((e.reason,)))
        observer.listen(StreamResumed, lambda e: count[families.RESUMED].add((e.outcome,)))
        observer.listen(CallRecovered, lambda e: count[families.RECOVERED].add((e.outcome,)))

    def call(self, served: CallServed) -> None:
        """One request of MCP."""
        if served.code:
            error = str(served.code)
        elif served.is_error:
            error = TOOL_ERROR
        else:
            error = CANCELLED if served.cancelled else ""
        target = served.target if served.method == "tools/call" else ""
        self._operations.observe((served.method, target, error), served.seconds)
        key = (served.client, served.revision)
        client = self._known.get(key)
        if client is None:
            client = self._name(*key)
        self._clients.add(client)

    def _name(self, client: str, revision: str) -> tuple[str, str, str]:
        """Name, version and revision, bounded: whoever calls says what it is called."""
        if len(self._known) >= families.CLIENTS.most:
            return (families.OTHER, families.OTHER, families.OTHER)
        text = "".join(c if c.isprintable() else "?" for c in client)
        name, _, version = text.rpartition(" ")
        labels = ((name or version)[:PRINTABLE_CHARS], version[:PRINTABLE_CHARS] if name else "")
        named = self._known[client, revision] = (*labels, revision)
        return named

    def request(self, served: RequestServed) -> None:
        """One request of HTTP."""
        self._http.add((str(served.status),))
        self._sent.add((), served.size)

    def store(self, used: StoreUsed) -> None:
        """One use of a store."""
        error = "failed" if used.failed else ""
        self._store.observe((used.store, used.operation, error), used.seconds)
