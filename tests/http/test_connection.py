"""One connection over memory streams, on virtual time."""

import pytest
import trio
import trio.testing

from mcpd.errors import NotFound
from mcpd.events import RequestServed
from mcpd.http.bounds import Bounds
from mcpd.http.connection import Connection
from mcpd.http.messages import EventStream, Peer, Request, Response
from mcpd.http.state import ServerState
from mcpd.observer import Observer
from tests import peer as client

STREAM = ((b"content-type", b"text/event-stream"),)
LOCAL = Peer("127.0.0.1", is_loopback=True)


class Fixture:
    """A server whose endpoint is chosen by path, and what happened in it."""

    def __init__(self, nursery: trio.Nursery, **bounds: object) -> None:
        self.nursery = nursery
        self.happened: list[str] = []
        self.log: list[tuple[str, int]] = []
        self.bounds = Bounds(**bounds)  # type: ignore[arg-type]
        observer = Observer()
        observer.listen(RequestServed, lambda served: self.log.append((served.path, served.status)))
        self.state = ServerState(self.endpoint, self.bounds, observer)
        nursery.start_soon(self.state.timers.run)
        self.connections: list[Connection] = []

    def connect(self, stream: trio.abc.Stream | None = None) -> client.Peer:
        ours, theirs = trio.testing.memory_stream_pair()
        connection = Connection(stream or theirs, LOCAL, 1, self.state)
        self.connections.append(connection)
        self.nursery.start_soon(connection.run)
        return client.Peer(ours)

    async def endpoint(self, request: Request) -> Response | EventStream:  # noqa: C901
        if request.path == "/echo":
            return Response(200, await request.body(1000))
        if request.path == "/unread":
            return Response(401, b"no")
        if request.path == "/slow":
            return await self.slow(request)
        if request.path == "/keep":
            request.keep_on_disconnect()
            return await self.slow(request)
        if request.path == "/stream":
            return EventStream(self.three_events, STREAM)
        if request.path == "/late":
            return EventStream(self.nothing_to_stream, STREAM)
        if request.path == "/open":
            return EventStream(self.forever, STREAM, open_ended=True)
        if request.path == "/late-body":
            await trio.sleep(0.5)
            return Response(200, await request.body(1000))
        if request.path == "/short":
            return EventStream(self.one_event, STREAM)
        if request.path == "/refused":
            return EventStream(self.refused, STREAM, open_ended=True)
        if request.path == "/impatient":
            return EventStream(self.impatient, STREAM)
        if request.path == "/ghost":
            return EventStream(self.ghost, STREAM)
        if request.path == "/bug":
            raise RuntimeError("a secret detail")
        if request.path == "/big":
            return Response(200, b"x" * 3_000_000)
        raise NotFound("nothing here")

    async def slow(self, request: Request) -> Response:
        try:
            await trio.sleep(5)
            self.happened.append("finished")
            return Response(200, b"slow")
        except trio.Cancelled:
            self.happened.append("cancelled")
            raise

    async def three_events(self, sink):
        for number in range(3):
            await sink.send(b"data: %d\n\n" % number)
            await trio.sleep(1)

    async def one_event(self, sink):
        await sink.send(b"data: 0\n\n")

    async def refused(self, sink):
        raise NotFound("nothing here")

    async def nothing_to_stream(self, sink):
        return Response(200, b"plain")

    async def impatient(self, sink):
        """An author's deadline around a send must not cut the event."""
        for _ in range(3):
            with trio.move_on_after(0.01):
                await sink.send(b"data: " + b"x" * 200_000 + b"\n\n")
        await sink.send(b"data: end\n\n")

    async def ghost(self, sink):
        """Something that goes on sending after its stream is over."""
        await sink.send(b"data: alive\n\n")

        async def haunt():
            for _ in range(20):
                await trio.sleep(1)
                await sink.send(b"data: ghost\n\n")

        self.nursery.start_soon(haunt)

    async def forever(self, sink):
        await sink.open()
        try:
            await trio.sleep_forever()
        finally:
            self.happened.append("stream over")


@pytest.fixture
def make(nursery):
    return lambda **bounds: Fixture(nursery, **bounds)


async def test_requests_on_one_connection_are_answered_in_order(make, autojump_clock):
    peer = make().connect()
    for number in range(3):
        reply = await peer.request("POST", "/echo", body=b"%d" % number)
        assert (reply.status, reply.body) == (200, b"%d" % number)


async def test_pipelined_requests_are_answered_in_order(make, autojump_clock):
    peer = make().connect()
    one = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"
    last = b"GET /nope HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    await peer.send(one + b"1" + one + b"2" + last)
    data = await peer.raw_reply()
    assert [part.split(b" ", 1)[0] for part in data.split(b"HTTP/1.1 ")[1:]] == [
        b"200",
        b"200",
        b"404",
    ]
    assert data.index(b"\r\n\r\n1") < data.index(b"\r\n\r\n2")


async def test_chunked_bodies_are_read_and_bounded_while_they_come(make, autojump_clock):
    peer = make().connect()
    start = b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    await peer.send(start + b"2\r\nab\r\n0\r\n\r\n")
    assert (await _one_reply(peer)).endswith(b"\r\n\r\nab")
    await peer.send(start + b"7d0\r\n" + b"x" * 2000)
    assert b" 413 " in await peer.raw_reply()


async def _one_reply(peer: client.Peer) -> bytes:
    return bytes(await peer.stream.receive_some(65536))


async def test_a_declared_length_beyond_the_bound_is_refused_before_the_body(make, autojump_clock):
    peer = make().connect()
    await peer.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n")
    data = await peer.raw_reply()
    assert data.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in data


async def test_continue_is_sent_once_the_body_is_wanted_and_not_before(make, autojump_clock):
    """RFC 9110, section 10.1.1"""
    fixture = make()
    head = b" HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    wanted = fixture.connect()
    await wanted.send(b"POST /echo" + head)
    assert await _one_reply(wanted) == b"HTTP/1.1 100 Continue\r\n\r\n"
    await wanted.send(b"ok")
    assert (await _one_reply(wanted)).endswith(b"ok")
    refused = fixture.connect()
    await refused.send(b"POST /unread" + head)
    data = await refused.raw_reply()
    assert data.startswith(b"HTTP/1.1 401 ")
    assert b"100 Continue" not in data


async def test_a_body_that_nobody_reads_is_skipped_and_the_connection_kept(make, autojump_clock):
    peer = make().connect()
    assert (await peer.request("POST", "/unread", body=b"x" * 500)).status == 401
    assert (await peer.request("POST", "/echo", body=b"next")).body == b"next"


async def test_head_gets_the_head_alone(make, autojump_clock):
    peer = make().connect()
    reply = await peer.request("HEAD", "/nope")
    assert (reply.status, reply.body) == (404, b"")
    assert int(reply.headers["content-length"]) > 0


async def test_http_1_0_closes_and_keeps_on_request(make, autojump_clock):
    fixture = make()
    peer = fixture.connect()
    await peer.send(b"GET /nope HTTP/1.0\r\n\r\n")
    assert b"connection: close" in await peer.raw_reply()
    kept = fixture.connect()
    await kept.send(b"GET /nope HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"connection: keep-alive" in await _one_reply(kept)
    await kept.send(b"GET /stream HTTP/1.0\r\n\r\n")
    data = await kept.raw_reply()
    assert data.endswith(b"data: 0\n\ndata: 1\n\ndata: 2\n\n")
    assert b"chunked" not in data


async def test_a_bug_is_a_500_that_tells_nothing(make, autojump_clock, caplog):
    reply = await make().connect().request("GET", "/bug")
    assert reply.status == 500
    assert b"secret" not in reply.body
    assert "a secret detail" in caplog.text


async def test_bad_framing_is_answered_and_ends_the_connection(make, autojump_clock):
    peer = make().connect()
    await peer.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    data = await peer.raw_reply()
    assert data.startswith(b"HTTP/1.1 400 ")
    assert data.count(b"HTTP/1.1 ") == 1


# --- deadlines -------------------------------------------------------------------------------


async def test_a_slow_head_gets_408(make, autojump_clock):
    peer, start = make(head_timeout_s=10).connect(), trio.current_time()
    await peer.send(b"GET / HTTP/1.1\r\n")
    with trio.fail_after(60):
        data = b"".join([piece async for piece in peer.stream])
    assert data.startswith(b"HTTP/1.1 408 ")
    assert b"head_timeout_s" in data
    assert 10 <= trio.current_time() - start < 13


async def test_a_slow_body_gets_408_even_when_bytes_drip(make, autojump_clock):
    peer = make(body_timeout_s=5).connect()
    await peer.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n")
    with trio.move_on_after(20):
        while True:
            await trio.sleep(0.5)
            try:
                await peer.send(b"x")
            except trio.BrokenResourceError:
                break
    data = await peer.raw_reply()
    assert data.startswith(b"HTTP/1.1 408 ")


async def test_an_idle_connection_is_closed_without_a_word(make, autojump_clock):
    peer, start = make(idle_timeout_s=20).connect(), trio.current_time()
    await peer.request("POST", "/echo", body=b"")
    with trio.fail_after(60):
        assert await peer.stream.receive_some() == b""
    assert 20 <= trio.current_time() - start < 21


async def test_a_request_beyond_its_bound_gets_503(make, autojump_clock):
    reply = await make(request_timeout_s=2).connect().request("GET", "/slow")
    assert reply.status == 503
    assert reply.json()["error"] == "handler_timeout"


async def test_a_peer_that_never_reads_is_dropped(make, autojump_clock):
    fixture = make(write_timeout_s=7)
    ours, theirs = trio.testing.lockstep_stream_pair()
    connection = Connection(theirs, LOCAL, 1, fixture.state)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await ours.send_all(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
    assert 7 <= trio.current_time() - start < 8


async def test_a_stream_that_its_client_left_was_answered(make, autojump_clock):
    fixture = make()
    peer = fixture.connect()
    await peer.begin("GET", "/open")
    await peer.head()
    await trio.sleep(0.5)
    await peer.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert fixture.log == [("/open", 200)]


async def test_every_request_is_logged_once(make, autojump_clock):
    fixture = make()
    peer = fixture.connect()
    await peer.request("GET", "/unread")
    await peer.stream.aclose()  # between two requests nothing is left to log
    await trio.testing.wait_all_tasks_blocked()
    assert fixture.log == [("/unread", 401)]


async def test_a_short_stream_on_a_connection_that_closes_is_lingered_for(make, autojump_clock):
    """Nothing else may read while the connection waits for its peer to close."""
    peer = make().connect()
    reply = await peer.request("GET", "/short", headers=[("connection", "close")])
    assert reply.body == b"data: 0\n\n"
    await trio.sleep(1)
    await peer.stream.aclose()


async def test_a_stream_that_is_refused_leaves_a_connection_that_drains(make, autojump_clock):
    fixture = make()
    peer = fixture.connect()
    assert (await peer.request("GET", "/refused")).status == 404
    fixture.state.closes = fixture.state.draining = True
    fixture.connections[0].drain()
    with trio.fail_after(60):
        assert await peer.stream.receive_some() == b""


# --- disconnects -----------------------------------------------------------------------------


async def test_a_peer_that_goes_away_cancels_its_request(make, autojump_clock):
    fixture = make()
    peer, start = fixture.connect(), trio.current_time()
    await peer.begin("GET", "/slow")
    await trio.sleep(0.5)
    await peer.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert fixture.happened == ["cancelled"]
    assert fixture.log == [("/slow", 499)]
    assert trio.current_time() - start < 1


async def test_a_request_that_is_kept_finishes_without_its_peer(make, autojump_clock):
    fixture = make()
    peer = fixture.connect()
    await peer.begin("GET", "/keep")
    await trio.sleep(0.5)
    await peer.stream.aclose()
    await trio.sleep(10)
    assert fixture.happened == ["finished"]


async def test_bytes_that_arrive_while_a_request_runs_are_kept(make, autojump_clock):
    fixture = make()
    peer = fixture.connect()
    await peer.begin("GET", "/slow")
    await trio.sleep(1)
    await peer.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nne")
    await trio.sleep(1)
    await peer.send(b"xt")
    assert (await peer.reply()).body == b"slow"
    assert (await _one_reply(peer)).endswith(b"next")


# --- event streams ---------------------------------------------------------------------------


async def test_a_stream_is_chunked_and_the_connection_goes_on(make, autojump_clock):
    peer = make().connect()
    reply = await peer.request("GET", "/stream")
    assert reply.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert reply.headers["transfer-encoding"] == "chunked"
    assert (await peer.request("POST", "/echo", body=b"x")).body == b"x"


async def test_a_stream_with_nothing_to_say_is_a_plain_answer(make, autojump_clock):
    reply = await make().connect().request("GET", "/late")
    assert (reply.body, reply.headers["content-length"]) == (b"plain", "5")


async def test_a_quiet_stream_has_a_heartbeat(make, autojump_clock):
    peer = make(heartbeat_s=15).connect()
    await peer.begin("GET", "/open")
    await peer.head()
    start = trio.current_time()
    for beat in (1, 2, 3):
        assert await peer.piece() == b": keep-alive\n\n"
        assert 15 * beat <= trio.current_time() - start < 15 * beat + 1


async def test_the_end_of_the_peer_ends_an_open_stream(make, autojump_clock):
    fixture = make()
    peer = fixture.connect()
    await peer.begin("GET", "/open")
    await peer.head()
    await trio.sleep(1)
    await peer.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert fixture.happened == ["stream over"]


async def test_a_drain_ends_open_streams_with_a_hint_and_lets_requests_finish(make, autojump_clock):
    fixture = make()
    stream, slow, idle = fixture.connect(), fixture.connect(), fixture.connect()
    await stream.begin("GET", "/open")
    await stream.head()
    await slow.begin("GET", "/slow")
    await idle.request("POST", "/echo", body=b"")
    await trio.sleep(1)
    fixture.state.closes = fixture.state.draining = True
    fixture.state.end_streams()
    for connection in fixture.connections:
        connection.drain()
    assert await stream.piece() == b"retry: 1000\n\n"
    assert await stream.piece() is None
    reply = await slow.reply()
    assert (reply.body, reply.headers["connection"]) == (b"slow", "close")
    assert await idle.stream.receive_some() == b""


async def test_every_answer_is_logged_once(make, autojump_clock):
    fixture = make()
    peer = fixture.connect()
    await peer.request("POST", "/echo", body=b"")
    await peer.request("GET", "/nope")
    await peer.request("GET", "/stream")
    await trio.testing.wait_all_tasks_blocked()
    assert fixture.log == [("/echo", 200), ("/nope", 404), ("/stream", 200)]


async def test_a_body_that_comes_after_the_watch_began_is_read_whole(make, autojump_clock):
    peer = make().connect()
    await peer.send(b"POST /late-body HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n")
    for piece in (b"ab", b"cd", b"ef"):
        await trio.sleep(0.3)
        await peer.send(piece)
    assert (await _one_reply(peer)).endswith(b"abcdef")


async def test_a_deadline_around_a_send_never_cuts_an_event(make, autojump_clock):
    fixture = make()
    ours, theirs = trio.testing.lockstep_stream_pair()
    fixture.nursery.start_soon(Connection(theirs, LOCAL, 1, fixture.state).run)
    peer = client.Peer(ours)
    await peer.begin("GET", "/impatient")
    await trio.sleep(1)
    reply = await peer.reply()
    assert reply.body.endswith(b"data: end\n\n")
    assert {len(part) for part in reply.body.split(b"\n\n")[:-2]} == {200_006}


async def test_nothing_is_sent_once_a_stream_is_over(make, autojump_clock):
    """Neither late events nor heartbeats may reach the next answer, or outlive the connection."""
    fixture = make(heartbeat_s=2)
    peer = fixture.connect()
    assert (await peer.request("GET", "/ghost")).body == b"data: alive\n\n"
    await trio.sleep(5)
    assert (await peer.request("POST", "/echo", body=b"clean")).body == b"clean"
    await peer.stream.aclose()
    await trio.sleep(60)
    other = fixture.connect()
    assert (await other.request("POST", "/echo", body=b"alive")).body == b"alive"


async def test_a_client_that_stops_sending_may_still_read_its_answer(make, autojump_clock):
    peer = make().connect()
    await peer.begin("GET", "/keep")
    await peer.stream.send_eof()
    assert (await peer.reply()).body == b"slow"


async def test_a_request_timeout_is_no_error_of_ours(make, autojump_clock, caplog):
    reply = await make(request_timeout_s=2).connect().request("GET", "/slow")
    await trio.sleep(10)
    assert reply.status == 503
    assert "Traceback" not in caplog.text
