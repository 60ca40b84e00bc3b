"""Bodies of all connections share a bound on memory."""

from dataclasses import replace

import pytest
import trio
import trio.testing

from mcpd.http.bounds import Bounds
from mcpd.http.connection import Connection
from mcpd.http.messages import Peer, Request, Response
from mcpd.http.state import ServerState
from mcpd.limits.caps import BODIES, Cap
from tests import peer as client

BODY = 100_000
RULE = replace(BODIES, each=3 * BODY, in_all=7 * BODY, floor=BODY, share=1)


@pytest.fixture
async def server(nursery):
    state = ServerState(endpoint, Bounds(), bodies=Cap(RULE))
    nursery.start_soon(state.timers.run)

    def connect(address: str) -> client.Peer:
        ours, theirs = trio.testing.memory_stream_pair()
        peer = Peer(address, is_loopback=False)
        nursery.start_soon(Connection(theirs, peer, 1, state).run)
        return client.Peer(ours)

    connect.state = state
    return connect


async def endpoint(request: Request) -> Response:
    request.activity.user = request.query
    await request.body(2 * BODY)
    await trio.sleep(10)
    return Response(200, b"done")


async def begin(server, address: str, user: str = "", *, size: int = BODY) -> client.Peer:
    peer = server(address)
    await peer.begin("POST", f"/?{user}", body=b"x" * size)
    return peer


async def test_bodies_of_one_user_or_address_have_a_part(server, autojump_clock):
    for user, address in (("alice", "203.0.113.1"), ("", "2001:db8::1")):
        held = [await begin(server, address, user) for _ in range(3)]
        await trio.sleep(1)
        other = address.replace("::1", "::2")
        refused = await (await begin(server, other, user)).reply()
        assert (refused.status, refused.headers["retry-after"]) == (429, "5")
        assert "max_body_memory_bytes" in refused.json()["fix"]
        assert [(await peer.reply()).status for peer in held] == [200] * 3


async def test_all_bodies_together_have_a_bound_and_what_is_done_is_free_again(
    server, autojump_clock
):
    held = [await begin(server, f"203.0.113.{n}") for n in range(7)]
    await trio.sleep(1)
    refused = await (await begin(server, "203.0.113.9")).reply()
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    small = await begin(server, "203.0.113.9", size=10)  # came with its head
    for peer in [*held, small]:
        assert (await peer.reply()).status == 200
    assert server.state.bodies.total == 0


async def test_a_peer_that_leaves_gives_its_memory_back(server, autojump_clock):
    peer = server("203.0.113.1")
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n"
    await peer.send(head + b"x" * 50_000)
    await trio.sleep(1)
    assert server.state.bodies.total > 0
    await peer.stream.aclose()
    await trio.sleep(1)
    assert server.state.bodies.total == 0


async def test_of_many_bodies_at_once_the_first_are_served_and_not_all_cut_off_halfway(
    server, autojump_clock
):
    """Each is counted as a whole before it is read."""
    peers = [server("203.0.113.1") for _ in range(6)]
    head = (
        b"POST /?alice HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n" % BODY
    )
    for peer in peers:
        await peer.send(head)
        await trio.sleep(0.1)
    refused = [await peer.raw_reply() for peer in peers[3:]]
    assert all(reply.startswith(b"HTTP/1.1 429 ") for reply in refused)
    for peer in peers[:3]:
        await peer.send(b"x" * BODY)
    for peer in peers[:3]:
        assert (await peer.raw_reply()).startswith(b"HTTP/1.1 200 ")
