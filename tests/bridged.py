"""A bridge in this process between a scripted client and a scripted server."""

from contextlib import asynccontextmanager

import trio
import trio.testing

from mcpd.auth.client_token import ClientToken
from mcpd.bridge.relay import Bridge
from mcpd.client.http_transport import HttpTransport
from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin
from tests.scripted_client import ScriptedClient


@asynccontextmanager
async def bridged(server, token=None, *, query="", **settings):
    url = server.url + query
    origin, target = resolve_origin(url)
    async with HttpClient(origin) as http, trio.open_nursery() as nursery:
        credentials = ClientToken(token, {})
        upstream = HttpTransport(http, target, credentials, url=url, wait_s=1.0, **settings)
        stdin, ours = trio.testing.memory_stream_one_way_pair()
        out, theirs = trio.testing.memory_stream_one_way_pair()
        nursery.start_soon(Bridge(upstream, out).run, ours)
        yield ScriptedClient(stdin, theirs)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def opened(nursery, server):
    """A client of a bridge to this server, after the handshake."""
    await nursery.start(server.scripted.run)
    async with bridged(server.scripted) as client:
        await client.open()
        yield client
