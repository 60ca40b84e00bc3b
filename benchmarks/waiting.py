"""Scenarios of starting and waiting: the first answer, idle streams, listeners of a change."""

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.calls import one, sums
from benchmarks.client import (
    ask,
    free_port,
    message,
    modern_headers,
    open_session,
    open_stream,
    post_bytes,
    wait_for_answer,
)
from benchmarks.contestants import NAMES, Contestant, Setup, contestant
from benchmarks.load import READ_BYTES, Exchange, connect
from benchmarks.scenario import STORES, Calls, Figures, Row

STREAMS = 300
LISTENERS = 1000
WARM = 20  # streams that are opened before memory is read first
SETTLE_S = 0.5
ALL_TOLD_S = 30.0  # until a listener counts as not told
URI = "bench://value"
UPDATED = b"notifications/resources/updated"


class Start(Calls):
    """exec to the first answered call."""

    def run(self, peer: str, seconds: float) -> Figures:
        """See Scenario."""
        server = contestant(peer, self.setup, self._canned_answer(peer))
        port = free_port()
        server.port = port
        first = self.make(server, None)[0]
        began = time.perf_counter()
        server.start(port)
        try:
            wait_for_answer(server, first)
            return {"start_ms": (time.perf_counter() - began) * 1000, "failed": 0}
        finally:
            server.stop()


def start_scenario() -> Calls:
    """The only one of its kind."""
    rows = (Row("start_ms", "ms"),)
    return Start("start", "exec to first answered call", sums, rows=rows)


@dataclass(frozen=True, slots=True)
class IdleStreams:
    """Resident memory of sessions that hold a GET stream open."""

    name: str = "idle-streams"
    title: str = "an idle session with an open stream"
    peers: Sequence[str] = tuple(NAMES[2:])
    reference: str = "Python SDK"
    rows: Sequence[Row] = (Row("stream_kib", "KiB", 1),)

    def run(self, peer: str, seconds: float) -> Figures:
        """See Scenario."""
        server = contestant(peer, Setup(), None)
        server.start(free_port())
        held: list[socket.socket] = []
        try:
            wait_for_answer(server, sums(server, None)[0])
            held += [open_stream(server, open_session(server)) for _ in range(WARM)]
            before = server.resident_kib
            held += [open_stream(server, open_session(server)) for _ in range(STREAMS)]
            time.sleep(SETTLE_S)
            return {"stream_kib": (server.resident_kib - before) / STREAMS, "failed": 0}
        finally:
            for sock in held:
                sock.close()
            server.stop()


@dataclass(frozen=True, slots=True)
class Listeners:
    """A thousand subscriptions/listen streams that are told of one change, again and again."""

    name: str = "listeners-1000"
    title: str = f"one change, told to {LISTENERS:,} listeners"
    peers: Sequence[str] = STORES
    reference: str = "Python SDK"
    rows: Sequence[Row] = (
        Row("last_event_ms", "ms from the call to the last event", 1),
        Row("stream_kib", "an idle listener, KiB", 1),
    )

    def run(self, peer: str, seconds: float) -> Figures:
        """See Scenario."""
        server = contestant(peer, Setup(), None)
        server.start(free_port())
        held: list[socket.socket] = []
        try:
            wait_for_answer(server, sums(server, None)[0])
            held += [_listen(server, number) for number in range(WARM)]
            before = server.resident_kib
            held += [_listen(server, number) for number in range(WARM, LISTENERS)]
            time.sleep(SETTLE_S)
            kib = (server.resident_kib - before) / (LISTENERS - WARM)
            change = one(server, None, "tools/call", {"name": "change", "arguments": {}},
                         number=1, holds=(b'"id":1', b'"text":"told"'))  # fmt: skip
            times, missed = _tell(server, change, held, seconds)
            if missed:
                print(f"  {peer}: {missed} events did not come")
            return {
                "last_event_ms": sorted(times)[len(times) // 2],
                "stream_kib": kib,
                "failed": missed,
            }
        finally:
            for sock in held:
                sock.close()
            server.stop()


def _listen(server: Contestant, number: int) -> socket.socket:
    """A listener that was acknowledged."""
    method = "subscriptions/listen"
    params = {"notifications": {"resourceSubscriptions": [URI]}}
    body = message(number + 1, method, params, modern=True)
    sock = connect(server.port)
    sock.sendall(post_bytes(server, body, modern_headers(server, method)))
    answer = b""
    while b"subscriptions/acknowledged" not in answer or not answer.endswith(b"\r\n"):
        piece = sock.recv(READ_BYTES)
        is_stream = b"text/event-stream" in (answer + piece).partition(b"\r\n\r\n")[0]
        if not piece or not is_stream or len(answer) > READ_BYTES:
            answer += piece
            raise SystemExit(f"{server.name} refused a listener: {answer[:600]!r}")
        answer += piece
    return sock


def _tell(
    server: Contestant, change: Exchange, held: Sequence[socket.socket], seconds: float
) -> tuple[list[float], int]:
    """Change, wait for all, repeat; milliseconds of each, and how many events did not come."""
    poll = select.epoll()
    by_descriptor = {sock.fileno(): sock for sock in held}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    times: list[float] = []
    missed, end = 0, time.perf_counter() + seconds
    try:
        while not times or (time.perf_counter() < end and not missed):
            waiting = dict.fromkeys(by_descriptor, b"")
            began = time.perf_counter()
            ask(server, change)
            while waiting and time.perf_counter() - began < ALL_TOLD_S:
                for descriptor, _ in poll.poll(1.0, 256):
                    if descriptor not in waiting:
                        by_descriptor[descriptor].recv(READ_BYTES)  # a heartbeat, or one twice
                        continue
                    waiting[descriptor] += by_descriptor[descriptor].recv(READ_BYTES)
                    if UPDATED in waiting[descriptor]:
                        del waiting[descriptor]
            times.append((time.perf_counter() - began) * 1000)
            missed += len(waiting)
    finally:
        poll.close()
    return times, missed
