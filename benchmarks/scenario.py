"""What a scenario is, and the kind that most are: clients that repeat calls."""

import base64
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.calls import MakeExchanges
from benchmarks.client import ask, free_port, open_session, wait_for_answer
from benchmarks.contestants import NAMES, Contestant, Setup, contestant, workspace
from benchmarks.load import Client, Exchange, Measured, Record, drive

STORES = ("mcpd", "Python SDK")  # who is measured where the store is what differs
Figures = Mapping[str, float]
BUSY = 0.85  # of the load generator: above that it is what is measured


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    figure: str
    label: str
    digits: int = 0


CALL_ROWS = (
    Row("per_second", "requests/s"),
    Row("p50_ms", "median, ms", 1),
    Row("p99_ms", "99th percentile, ms", 1),
    Row("cpu_us", "server's CPU for each, µs"),
)


MEMORY_ROW = Row("resident_mib", "resident memory after it, MiB", 1)


class Scenario(Protocol):
    """Something that is measured of several peers, and compared with one of them."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def peers(self) -> Sequence[str]: ...
    @property
    def reference(self) -> str: ...
    @property
    def rows(self) -> Sequence[Row]: ...
    def run(self, peer: str, seconds: float) -> Figures:
        """Start a peer, measure it once, end it. The figure ``failed`` is always there."""


@dataclass(frozen=True)
class Calls:
    """Clients that repeat calls, each on a connection of its own."""

    name: str
    title: str
    make: MakeExchanges
    setup: Setup = Setup()  # noqa: RUF009 - frozen
    session: bool = False
    connections: int = 16
    peers: Sequence[str] = NAMES
    reference: str = "Trio floor"
    rows: Sequence[Row] = CALL_ROWS
    _canned: dict[str, Path] = field(default_factory=dict)

    def run(self, peer: str, seconds: float) -> Figures:
        """See Scenario."""
        server = contestant(peer, self.setup, self._canned_answer(peer))
        server.start(free_port())
        try:
            first = None if peer == "Trio floor" or self.session else self.make(server, None)[0]
            wait_for_answer(server, first)
            measured = repeat_calls(
                server, self.make, self.session, connections=self.connections, seconds=seconds
            )
            return {**measured.figures(), "resident_mib": server.resident_kib / 1024}
        finally:
            server.stop()

    def _canned_answer(self, peer: str) -> Path | None:
        """What a floor sends: mcpd's answer to the same request, asked once."""
        if "floor" not in peer:
            return None
        if "path" not in self._canned:
            server = contestant("mcpd", self.setup, None)
            server.start(free_port())
            try:
                wait_for_answer(server)
                session = open_session(server) if self.session else None
                exchange = self.make(server, session)[-1]
                raw = b"".join(ask(server, exchange))
            finally:
                server.stop()
            folder = tempfile.mkdtemp(dir=workspace())
            self._canned["path"] = Path(folder) / "canned.json"
            # FLOOR_SESSION is as long as a session id of ours, and all ports have five digits
            self._canned["path"].write_text(_recorded(exchange, raw))
        return self._canned["path"]


def _recorded(exchange: Exchange, raw: bytes) -> str:
    """The answer in the pieces that a floor sends: one for each event of a stream."""
    head, separator, body = raw.partition(b"\r\n\r\n")
    media_type = b"application/json"
    wire, pieces = [raw], [body]
    if b"transfer-encoding: chunked" in head.lower():
        media_type, wire, pieces = b"text/event-stream", [head + separator], []
        while body:
            size, _, rest = body.partition(b"\r\n")
            length = int(size, 16)
            framed = size + b"\r\n" + rest[: length + 2]
            if length:
                pieces.append(rest[:length])
                wire.append(framed)
            else:
                wire[-1] += framed
            body = rest[length + 2 :]
        wire[:2] = [wire[0] + wire[1]]  # the head goes out with the first event
    return json.dumps(
        {
            "request_bytes": len(exchange.request),
            "media_type": media_type.decode(),
            "raw": [base64.b64encode(piece).decode() for piece in wire],
            "pieces": [base64.b64encode(piece).decode() for piece in pieces],
        }
    )


def repeat_calls(
    server: Contestant, make: MakeExchanges, session: bool, *, connections: int, seconds: float
) -> Measured:
    """Load a running server: every connection repeats calls, in a session of its own or in none."""
    record, clients = Record(), []
    shared = None if session else make(server, None)
    for number in range(connections):
        exchanges = shared or make(server, open_session(server))
        start = number * 7 % len(exchanges)
        rotated = [*exchanges[start:], *exchanges[:start]]
        clients.append(Client(server.port, rotated, record))
    measured = drive(clients, record, seconds=seconds, server_cpu_s=lambda: server.cpu_s)
    report(server.name, record, measured)
    return measured


def report(peer: str, record: Record, measured: Measured) -> None:
    """Say what makes a run doubtful."""
    if record.failed:
        print(f"  {peer}: {record.failed} failed, the first: {record.sample[:600]!r}")
    if measured.load_busy > BUSY:
        print(f"  {peer}: the load generator was busy for {measured.load_busy:.0%} of the time")
