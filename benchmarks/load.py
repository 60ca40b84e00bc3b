"""The load: virtual clients on raw sockets, each with one request under way at a time.

Requests are canned bytes. Each answer is read to its end and verified; one that is wrong counts
as failed and not as an answer. The generator runs in this process, on a core of its own.
"""

import gc
import os
import re
import resource
import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LOAD_CORE = 1
WARM_S = 0.5  # of load that is not counted
READ_BYTES = 256 * 1024
PATIENCE_S = 10.0  # without any answer at all: the run is over
OPEN_FILES = 65_536

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_LAST_CHUNK = b"\r\n0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and what its answer must be.

    Attributes:
        holds: parts of the answer: its id, its result.
        counted: a part that occurs ``count`` times.
        least_bytes: of the whole answer.
    """

    request: bytes
    holds: tuple[bytes, ...] = ()
    counted: bytes = b""
    count: int = 0
    least_bytes: int = 0
    status: bytes = b"200"

    def verify(self, answer: bytes | bytearray) -> bool:
        """Whether this is the whole and right answer."""
        return (
            answer[9:12] == self.status
            and len(answer) >= self.least_bytes
            and all(part in answer for part in self.holds)
            and (not self.counted or answer.count(self.counted) == self.count)
        )


class Receiver:
    """Bytes of one connection, until an answer is complete."""

    __slots__ = ("_chunked", "_end", "data")

    def __init__(self) -> None:
        self.data = bytearray()
        self._end = 0  # of the answer; 0: not known yet
        self._chunked = False

    def receive(self, piece: bytes) -> bool:
        """Take what came; whether the answer is complete."""
        self.data += piece
        if not self._end and not self._chunked:
            head_end = self.data.find(b"\r\n\r\n")
            if head_end < 0:
                return False
            length = _LENGTH.search(self.data, 0, head_end + 2)
            if length is None and self.data[9:12] != b"202":
                self._chunked = True
            else:
                self._end = head_end + 4 + (int(length[1]) if length else 0)
        return self.data.endswith(_LAST_CHUNK) if self._chunked else len(self.data) >= self._end

    def clear(self) -> None:
        """For the next answer."""
        self.data = bytearray()
        self._end = 0
        self._chunked = False


class Record:
    """What all clients of a run have measured."""

    def __init__(self) -> None:
        self.latencies_ns: list[int] = []
        self.failed = 0
        self.sample = b""  # the first wrong answer


class Client:
    """One connection that repeats its exchanges in turn."""

    def __init__(self, port: int, exchanges: Sequence[Exchange], record: Record) -> None:
        self._port = port
        self._exchanges = exchanges
        self._record = record
        self._next = 0
        self._receiver = Receiver()
        self._began_ns = 0
        self.sock = connect(port)

    def sockets(self) -> list[socket.socket]:
        """Those to be watched."""
        return [self.sock]

    def begin(self) -> None:
        """Send the next request."""
        self._exchange = self._exchanges[self._next % len(self._exchanges)]
        self._next += 1
        self._receiver.clear()
        self._began_ns = time.perf_counter_ns()
        self.sock.sendall(self._exchange.request)

    def readable(self, _: int) -> None:
        """Something came; once the answer is whole, go on.

        Raises:
            OSError: the server closed the connection.
        """
        piece = self.sock.recv(READ_BYTES)
        if not piece:
            raise ConnectionResetError
        if self._receiver.receive(piece):
            now = time.perf_counter_ns()
            if self._exchange.verify(self._receiver.data):
                self._record.latencies_ns.append(now - self._began_ns)
            else:
                self._record.failed += 1
                self._record.sample = self._record.sample or bytes(self._receiver.data[:2000])
            self.begin()

    def close(self) -> None:
        """Leave."""
        self.sock.close()


def connect(port: int) -> socket.socket:
    """A connection to the server, without Nagle's delay."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@dataclass(frozen=True, slots=True)
class Measured:
    """One run."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_us: float = 0.0  # of the server, for each answer: says more than a rate on a busy machine
    load_busy: float = 0.0  # share of its core that the generator used: near 1, it is the limit

    def figures(self) -> dict[str, float]:
        """By name, for tables and files."""
        return {
            "per_second": self.per_second,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "failed": self.failed,
            "cpu_us": self.cpu_us,
            "load_busy": self.load_busy,
        }


def drive(
    clients: Sequence[Client], record: Record, *, seconds: float, server_cpu_s: Callable[[], float]
) -> Measured:
    """Run clients side by side, warm first; they are closed afterwards."""
    poll = select.epoll()
    owners: dict[int, Client] = {}
    for client in clients:
        for sock in client.sockets():
            owners[sock.fileno()] = client
            poll.register(sock.fileno(), select.EPOLLIN)
    gc.collect()
    gc.disable()
    try:
        for client in clients:
            client.begin()
        _turn(poll, owners, record, WARM_S)
        record.latencies_ns.clear()
        began, used, spent = time.perf_counter(), time.process_time(), server_cpu_s()
        _turn(poll, owners, record, seconds)
        took, used = time.perf_counter() - began, time.process_time() - used
        spent = server_cpu_s() - spent
    finally:
        gc.enable()
        poll.close()
        for client in clients:
            client.close()
    return _measured(record, took, spent, used / took)


def _turn(poll: select.epoll, owners: dict[int, Client], record: Record, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        events = poll.poll(PATIENCE_S, 256)
        if not events:
            record.failed += 1
            record.sample = record.sample or b"no answer at all for %d s" % PATIENCE_S
            return
        for descriptor, _ in events:
            try:
                owners[descriptor].readable(descriptor)
            except OSError as error:
                record.failed += 1
                record.sample = record.sample or repr(error).encode()
                poll.unregister(descriptor)


def _measured(record: Record, took: float, spent: float, busy: float) -> Measured:
    found = sorted(record.latencies_ns)
    count = len(found)
    if not count:
        return Measured(0, 0, 0, record.failed, 0, busy)
    return Measured(
        count / took,
        found[count // 2] / 1e6,
        found[min(count - 1, count * 99 // 100)] / 1e6,
        record.failed,
        spent / count * 1e6,
        busy,
    )


def prepare_process(core: int | None = LOAD_CORE) -> None:
    """As many files as may be, and a core of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if core is not None:
        os.sched_setaffinity(0, {core})
