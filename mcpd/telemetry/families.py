"""What is measured, in one table: the names are OpenTelemetry's for MCP where it has one (status:
development, so they may change: they stand here alone), else they begin with ``mcpd``.

A family of Prometheus has the same name with ``_`` for each dot, its unit, and for a counter
``_total``.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "max", "min"]

# OpenTelemetry, "Semantic conventions for MCP", in seconds.
SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
SHORT = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
LONG = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
OTHER = "_OTHER"
MAX_SERIES = 1000  # of one family; what comes after that is counted as OTHER


@dataclass(frozen=True, slots=True)
class Family:
    """One thing that is measured.

    Attributes:
        labels: names of what tells its series apart.
        merge: of a gauge, how the processes of one server become one; counts are added.
        most: series; MAX_SERIES where values are chosen by others.
        open: labels whose values have no bound, which become OTHER beyond that; empty: all.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()
    merge: Merge = "sum"
    most: int = MAX_SERIES
    open: tuple[str, ...] = ()

    def rest(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The labels under which a series is counted that is one too many."""
        named = zip(self.labels, labels, strict=True)
        return tuple(OTHER if not self.open or n in self.open else value for n, value in named)


OPERATIONS = Family(
    "mcp.server.operation.duration", "histogram",
    "Requests of MCP, from the handler's begin to its end.",
    ("mcp.method.name", "gen_ai.tool.name", "error.type"), "seconds", SECONDS,
    open=("gen_ai.tool.name",),
)  # fmt: skip
SESSION_SECONDS = Family(
    "mcp.server.session.duration", "histogram", "Sessions that their clients ended.",
    ("mcp.protocol.version",), "seconds", LONG,
)  # fmt: skip
HTTP = Family(
    "mcpd.http.requests", "counter", "HTTP requests that were answered, by status.", ("status",),
    most=100,
)  # fmt: skip
HTTP_BYTES = Family("mcpd.http.sent", "counter", "Bytes of answers.", (), "bytes")
REGISTRATIONS = Family(
    "mcpd.registrations", "counter", "Requests to register.", ("kind", "outcome"), most=50
)
SESSIONS_BEGUN = Family(
    "mcpd.sessions.begun", "counter", "Sessions that were begun, by initialize.",
    ("mcp.protocol.version",), most=20,
)  # fmt: skip
SWEPT = Family("mcpd.sessions.swept", "counter", "Sessions that ended for want of activity.")
CLIENTS = Family(
    "mcpd.client.calls", "counter", "Calls, by what the client says of itself.",
    ("client", "version", "mcp.protocol.version"), most=200,
)  # fmt: skip
LIMITED = Family(
    "mcpd.refusals",
    "counter",
    "Requests that a limit of their user or address refused.",
    ("limit",),
)
CREDENTIALS = Family(
    "mcpd.auth.refusals", "counter", "Credentials that were refused.", ("reason",), most=50
)
RESUMED = Family(
    "mcpd.streams.resumed", "counter", "Streams that a client took up again.", ("outcome",), most=10
)
RECOVERED = Family(
    "mcpd.calls.recovered", "counter", "Calls whose process was gone: run again, or told so.",
    ("outcome",), most=10,
)  # fmt: skip
STORE = Family(
    "mcpd.store.operation.duration", "histogram", "What the store took, by kind and step.",
    ("store", "operation", "error"), "seconds", SHORT, most=50,
)  # fmt: skip
LOG_LINES = Family(
    "mcpd.log.lines", "counter", "Lines of the log that warn or tell of an error.", ("level",),
    most=10,
)  # fmt: skip
RESTARTS = Family(
    "mcpd.worker.restarts", "counter", "Workers that ended and were replaced.", (), most=10
)
SESSIONS = Family(
    "mcpd.sessions", "gauge", "Sessions in the store.", ("state",), merge="max", most=10
)
STREAMS = Family("mcpd.streams", "gauge", "Event streams without an end that are open.")
CONNECTIONS = Family("mcpd.connections", "gauge", "Connections of clients.")
RUNNING = Family("mcpd.calls.running", "gauge", "Calls in sessions that run.")
TASKS = Family("mcpd.tasks", "gauge", "Tasks that are kept.")
THREADS = Family("mcpd.threads", "gauge", "Plain functions.", ("state",), most=10)
LIST_BYTES = Family(
    "mcpd.list", "gauge", "A whole list as JSON: what it takes of a model's context.",
    ("list",), "bytes", merge="max", most=10,
)  # fmt: skip
OFFERED = Family("mcpd.offered", "gauge", "What is listed.", ("list",), merge="max", most=10)
LAG = Family(
    "mcpd.event_loop.lag", "gauge", "The longest time for which the event loop was late, of the"
    " last minute.", (), "seconds", merge="max",
)  # fmt: skip
MEMORY = Family("mcpd.memory", "gauge", "Memory of all processes.", (), "bytes")
WORKERS = Family("mcpd.processes", "gauge", "Processes that serve.")
STARTED = Family(
    "mcpd.start.time", "gauge", "When it started, Unix seconds.", (), "seconds", merge="min"
)
INFO = Family("mcpd.build", "gauge", "1, with the version.", ("version",), merge="max", most=10)
READY = Family(
    "mcpd.ready", "gauge", "1 if all that it offers can be had, else 0.", (), merge="min"
)

FAMILIES = (
    OPERATIONS, SESSION_SECONDS, HTTP, HTTP_BYTES, REGISTRATIONS, SESSIONS_BEGUN, SWEPT, CLIENTS,
    LIMITED, CREDENTIALS, RESUMED, RECOVERED, STORE, LOG_LINES, RESTARTS, SESSIONS, STREAMS,
    CONNECTIONS, RUNNING, TASKS, THREADS, LIST_BYTES, OFFERED, LAG, MEMORY, WORKERS, STARTED, INFO,
    READY,
)  # fmt: skip
BY_NAME = {family.name: family for family in FAMILIES}
