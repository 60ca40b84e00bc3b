"""Connections in all and for one address, on real sockets."""

import socket

import pytest
import trio

from mcpd.http import server as http_server
from mcpd.http.bounds import Bounds
from mcpd.http.messages import Peer, Request, Response
from mcpd.http.server import HttpServer
from mcpd.http.state import ServerState
from tests import peer as client


async def hello(request: Request) -> Response:
    return Response(200, b"hello")


@pytest.fixture
async def serve(nursery):
    opened: list[trio.abc.AsyncResource] = []

    async def serve(**bounds: int):
        state = ServerState(hello, Bounds(**bounds))  # type: ignore[arg-type]
        server = HttpServer(state)
        nursery.start_soon(state.timers.run)
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        opened.append(listener)
        port = listener.socket.getsockname()[1]
        nursery.start_soon(lambda: server.serve([listener], handler_nursery=nursery))

        async def connect() -> trio.SocketStream:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            opened.append(stream)
            return stream

        return server, connect

    yield serve
    for one in opened:
        await one.aclose()


async def test_one_connection_too_many_is_told_to_come_back(serve):
    server, connect = await serve(max_connections=2)
    held = [client.Peer(await connect()) for _ in range(2)]
    for peer in held:
        assert (await peer.request("GET", "/")).status == 200
    refused = await client.Peer(await connect()).raw_reply()
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in refused
    assert b"max_connections" in refused
    await held[0].stream.aclose()
    with trio.fail_after(30):
        while server.connection_count > 1:
            await trio.sleep(0.01)
    assert (await client.Peer(await connect()).request("GET", "/")).status == 200


async def test_connections_of_one_address_are_capped_and_loopback_is_exempt(serve, monkeypatch):
    _, connect = await serve(max_connections_per_address=1)
    for _ in range(3):
        assert (await client.Peer(await connect()).request("GET", "/")).status == 200
    stranger = Peer("203.0.113.7", is_loopback=False)
    monkeypatch.setattr(http_server, "_peer_of", lambda stream, scheme: stranger)
    held = client.Peer(await connect())
    assert (await held.request("GET", "/")).status == 200
    refused = await client.Peer(await connect()).raw_reply()
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"max_connections_per_address" in refused
    assert (await held.request("GET", "/")).status == 200


async def test_loopback_has_the_bound_too_where_limit_loopback_says_so(serve):
    _, connect = await serve(max_connections_per_address=1, limit_loopback=True)
    held = client.Peer(await connect())
    assert (await held.request("GET", "/")).status == 200
    refused = await client.Peer(await connect()).raw_reply()
    assert refused.startswith(b"HTTP/1.1 503 ")


async def test_addresses_of_one_ipv6_network_share_its_connections(serve, monkeypatch):
    _, connect = await serve(max_connections_per_address=1)
    peers = (Peer(f"2001:db8::{n}", is_loopback=False) for n in range(1, 100))
    monkeypatch.setattr(http_server, "_peer_of", lambda stream, scheme: next(peers))
    held = client.Peer(await connect())
    assert (await held.request("GET", "/")).status == 200
    refused = await client.Peer(await connect()).raw_reply()
    assert refused.startswith(b"HTTP/1.1 503 ")


async def test_a_peer_that_left_before_it_was_looked_at_is_no_error(serve, caplog):
    _, connect = await serve()
    for _ in range(20):
        stream = await connect()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.aclose()
    assert (await client.Peer(await connect()).request("GET", "/")).status == 200
    assert caplog.text == ""


@pytest.mark.parametrize("late", [False, True])
async def test_closing_resets_nobody_that_the_kernel_has_accepted(nursery, monkeypatch, late):
    """``late``: the event loop comes back when the time for the last ones is over already."""
    if late:
        monkeypatch.setattr(http_server, "LAST_ACCEPT_S", 0.0)
    state = ServerState(hello, Bounds())
    server = HttpServer(state)
    nursery.start_soon(state.timers.run)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    waiting = [socket.create_connection(listener.socket.getsockname()) for _ in range(5)]
    await server.close_after_waiting([listener], handler_nursery=nursery)
    for sock in waiting:
        sock.setblocking(False)
        peer = client.Peer(trio.SocketStream(trio.socket.from_stdlib_socket(sock)))
        assert (await peer.request("GET", "/")).status == 200
        await peer.stream.aclose()
    with pytest.raises(OSError):
        listener.socket.getsockname()
