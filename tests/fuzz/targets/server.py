"""A whole server in this process: whatever comes on a connection, valid HTTP goes back or the
connection closes, nothing is our fault, and the next request works.
"""

import atexit
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h11
import trio
import trio.testing
from hypothesis import strategies as st

from tests.fuzz.drawing import COMMON, JSON_TOKENS, cuts, mutated, pieces
from tests.fuzz.served_app import make_app
from tests.fuzz.target import Target, corpus
from tests.fuzz.targets.http_heads import MAX_MESSAGES, read
from tests.in_process import HandshakeClient, Serving, modern, serving

STATE = Path(tempfile.mkdtemp(prefix="mcpd-fuzz-"))  # the same secret for every server
atexit.register(shutil.rmtree, STATE, ignore_errors=True)
QUIET_S = 20.0  # virtual: how long the server may be silent before we hang up
LISTEN_S = 120.0  # virtual: streams go on for ever
MAX_HEAD_BYTES = 32 * 1024

SEEDS = corpus("server")
TOKENS = (
    *COMMON, *JSON_TOKENS, b"GET ", b"POST ", b"DELETE ", b"HEAD ", b"OPTIONS ", b"PUT ", b"/mcp",
    b"/sse", b"/health", b"/register", b"/messages?session_id=@SESSION@", b"@SESSION@", b"@TOKEN@",
    b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n",
    b"Content-Length: @LENGTH@\r\n", b"Accept: text/event-stream\r\n", b"Accept: */*;q=0\r\n",
    b"Mcp-Session-Id: @SESSION@\r\n", b"MCP-Protocol-Version: 2025-06-18\r\n", b"HTTP/1.0",
    b"MCP-Protocol-Version: 2026-07-28\r\n", b"2025-03-26", b"2026-07-28", b"2024-11-05",
    b"Last-Event-ID: 0.1\r\n", b"Origin: http://localhost\r\n", b"Origin: https://evil.example\r\n",
    b'"_meta":{},', b'"id":1,', b'"params":{},', b'"arguments":null,', b'"arguments":[],',
    b'"task":{"ttl":1},', b'"cursor":"AAAA",', b'"progressToken":1.5,', b'"logLevel":[],',
    b'"requestState":"AAAA",', b'"inputResponses":{"a":{}},', b'"tools/call"', b'"tasks/result"',
    b'"tasks/cancel"', b'"ping"', b'"resources/unsubscribe"', b'"subscriptions/listen"',
    b'"notifications/initialized"', b'"elicitation":{"form":1},', b"5\r\nhello\r\n0\r\n\r\n",
)  # fmt: skip
INPUT = st.tuples(st.lists(mutated(SEEDS, TOKENS), min_size=1, max_size=3), cuts())


class Faults(logging.Handler):
    """What the server logs as its own fault."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.found.append(f"{record.getMessage()}: {error!r}")


@contextmanager
def hearing() -> Iterator[Faults]:
    """What is logged within the block."""
    faults, log = Faults(), logging.getLogger("mcpd")
    log.addHandler(faults)
    propagated, log.propagate = log.propagate, False
    try:
        yield faults
    finally:
        log.removeHandler(faults)
        log.propagate = propagated


def fill(data: bytes, session: str, token: str) -> bytes:
    """A seed with what only this server knows."""
    data = data.replace(b"@SESSION@", session.encode()).replace(b"@TOKEN@", token.encode())
    body = data.partition(b"\r\n\r\n")[2]
    return data.replace(b"@LENGTH@", b"%d" % len(body))


async def exchange(server: Serving, parts: list[bytes]) -> tuple[bytes, bool]:
    """Send pieces on one connection; what came back, and whether the server closed it."""
    stream, found = server.connect().stream, b""
    with trio.move_on_after(LISTEN_S):
        for part in parts:
            try:
                await stream.send_all(part)
            except trio.BrokenResourceError:
                break
            await trio.testing.wait_all_tasks_blocked()
        while True:
            with trio.move_on_after(QUIET_S) as quiet:
                try:
                    data = await stream.receive_some(65536)
                except trio.BrokenResourceError:
                    data = b""
                if not data:
                    await stream.aclose()
                    return found, True
                found += data
            if quiet.cancelled_caught:
                break
    await stream.aclose()
    return found, False


def statuses(data: bytes, methods: list[str], *, closed: bool) -> list[int]:
    """The responses in what came, read by h11; the last one may be a stream that was not over.

    Raises:
        h11.RemoteProtocolError: it is no HTTP.
    """
    found: list[int] = []
    while data:
        method = methods[len(found)] if len(found) < len(methods) else "GET"
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
        client.send(h11.EndOfMessage())
        client.receive_data(data)
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                found.append(event.status_code)
            if event is h11.NEED_DATA:
                assert not closed or is_until_close(client), "the connection closed too early"
                return found
        data = client.trailing_data[0]
    return found


def is_until_close(client: h11.Connection) -> bool:
    """Whether the end of the connection is the end of the response, or may be."""
    client.receive_data(b"")
    try:
        return isinstance(client.next_event(), h11.EndOfMessage)
    except h11.RemoteProtocolError:
        return False


async def check_server(value: tuple[list[bytes], list[int]]) -> None:
    """Each of the requests on a connection of its own, then all on one; then a good one."""
    seeds, shares = value
    with hearing() as faults:
        async with serving(STATE, [make_app()]) as server:
            client = HandshakeClient(server.user())
            await client.open()
            token = server.token()
            requests = [fill(seed, client.id, token) for seed in seeds]
            together = b"".join(requests)
            for parts in (*([request] for request in requests), pieces(together, shares)):
                data, closed = await exchange(server, parts)
                assert not faults.found, f"logged as a fault: {faults.found[0]}"
                seen = read([b"".join(parts)], max_head_bytes=MAX_HEAD_BYTES)
                methods = [str(message[0]) for message in seen.messages]
                found = statuses(data, methods, closed=closed)
                due = len(methods) + bool(seen.error or seen.wants_more)
                assert len(found) <= due or len(methods) == MAX_MESSAGES, (
                    "more answers than requests"
                )
                for status in found:
                    assert status < 500 or status in (501, 505), f"status {status}"
                assert b"A fault of this server" not in data, "a fault of ours was told"
            await check_goes_on(server)
    assert not faults.found, f"logged as a fault: {faults.found[0]}"


async def check_goes_on(server: Serving) -> None:
    """A good request of either era works."""
    reply = await modern(server.user(), "tools/call", {"name": "add", "arguments": {"a": 1}})
    assert reply.status == 200, reply
    assert reply.json()["result"]["content"][0]["text"] == "2"
    client = HandshakeClient(server.user())
    await client.open()
    reply = await client.call("tools/call", {"name": "add", "arguments": {"a": 2}})
    assert reply.json()["result"]["content"][0]["text"] == "3"


def check(value: tuple[list[bytes], list[int]]) -> None:
    """See ``check_server``; on virtual time."""
    trio.run(check_server, value, clock=trio.testing.MockClock(autojump_threshold=0))


TARGETS = [
    Target("server", INPUT, check, tuple(([seed], [0]) for seed in SEEDS), short=20),
]
