"""A stream ends with the credential that opened it."""

import pytest
import trio

from mcpd.auth.authenticator import Sent
from mcpd.server.jwt_secrets import find_secrets
from tests.in_process import META, HandshakeClient, modern_headers, serving
from tests.mcp.demo_app import make_app

LEFT_S = 0.3


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path, [make_app()], jwt_leeway_s=0.0) as server:
        yield server


def expires_soon(server) -> None:
    """As if every token that is taken from here on had LEFT_S left."""
    server.server.authenticator.left_s = lambda identity: LEFT_S


async def open_get(server):
    client = HandshakeClient(server.user())
    await client.open()
    peer = server.user()
    await peer.begin("GET", "/mcp/", headers=client.headers)
    return peer


async def open_listen(server):
    peer = server.user()
    params = {"_meta": META, "notifications": {"toolsListChanged": True}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
    headers = modern_headers("subscriptions/listen")
    await peer.begin("POST", "/mcp/", json=call, headers=headers)
    return peer


async def open_sse(server):
    peer = server.user()
    await peer.begin("GET", "/sse", headers=[("accept", "text/event-stream")])
    return peer


OPENERS = pytest.mark.parametrize("open_stream", [open_get, open_listen, open_sse])


async def read_to_end(peer) -> bytes:
    data = b""
    with trio.fail_after(10):
        while (piece := await peer.piece()) is not None:
            data += piece
    return data


@OPENERS
async def test_a_stream_ends_when_its_token_does(server, open_stream):
    expires_soon(server)
    peer = await open_stream(server)
    assert (await peer.head()).status_code == 200
    assert b"retry:" in await read_to_end(peer) or open_stream is open_listen


@OPENERS
async def test_a_stream_ends_when_the_secrets_are_replaced(server, open_stream):
    peer = await open_stream(server)
    assert (await peer.head()).status_code == 200
    (server.config.state_path / "jwt-secret").write_text("x" * 64)
    source = find_secrets(server.config, {}, create=False)
    server.server.credentials.use(server.config, source)
    server.server.state.end_streams()
    await read_to_end(peer)


async def test_a_token_has_the_seconds_until_it_expires(server):
    authenticator = server.server.authenticator
    token = server.token(ttl_s=60).encode()
    identity = await authenticator.authenticate(Sent(b"Bearer " + token))
    assert 50 < authenticator.left_s(identity) <= 60
