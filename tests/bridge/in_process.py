"""A bridge in this process, its client, and a server with sessions that does as it is told."""

from contextlib import asynccontextmanager

import msgspec
import trio
import trio.testing

from mcpd.auth.credentials import Credentials
from mcpd.bridge.relay import Bridge
from mcpd.client.http_transport import HttpTransport
from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin
from tests.scripted import Scripted, reply

HELLO = {
    "id": "hello",
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}},
}


class Client:
    """Talks to a bridge in this process."""

    def __init__(self, stdin, stdout):
        self.stdin = stdin
        self.stdout = stdout
        self.found = []
        self.text = b""

    async def send(self, **message):
        await self.stdin.send_all(msgspec.json.encode({"jsonrpc": "2.0", **message}) + b"\n")

    async def answer(self, request_id):
        with trio.fail_after(5):
            while True:
                for message in self.found:
                    if message.get("id") == request_id:
                        return message
                self.text += await self.stdout.receive_some()
                *whole, self.text = self.text.split(b"\n")
                self.found += [msgspec.json.decode(line) for line in whole]

    async def ask(self, request_id, method="ping", **params):
        await self.send(id=request_id, method=method, params=params)
        return await self.answer(request_id)

    async def open(self):
        await self.send(**HELLO)
        hello = await self.answer("hello")
        await self.send(method="notifications/initialized")
        return hello


@asynccontextmanager
async def bridged(server, token=None, *, query="", **settings):
    url = server.url + query
    origin, target = resolve_origin(url)
    async with HttpClient(origin) as http, trio.open_nursery() as nursery:
        credentials = Credentials(token, {})
        upstream = HttpTransport(http, target, credentials, url=url, wait_s=1.0, **settings)
        stdin, ours = trio.testing.memory_stream_one_way_pair()
        out, theirs = trio.testing.memory_stream_one_way_pair()
        nursery.start_soon(Bridge(upstream, out).run, ours)
        yield Client(stdin, theirs)
        nursery.cancel_scope.cancel()


class Server:
    """One with sessions. ``broken`` are answers to the initialize requests that come after the
    first, before a good one. ``capabilities`` is JSON.
    """

    def __init__(self, *broken, capabilities=b"{}"):
        self.scripted = Scripted([self.play])
        self.broken = list(broken)
        self.session = 0
        self.alive = False
        self.capabilities = capabilities

    @property
    def seen(self):
        return self.scripted.seen

    def begin(self):
        self.session += 1
        self.alive = True
        return f"s{self.session}"

    async def play(self, stream):
        seen = self.seen[-1]
        if seen.method != "POST":
            await stream.send_all(reply("405 Method Not Allowed"))
            return
        message = msgspec.json.decode(seen.body)
        if message.get("method") == "initialize":
            await self.initialize(stream, message["id"])
        elif not self.alive or seen.headers.get("mcp-session-id") != f"s{self.session}":
            named = "mcp-session-id" in seen.headers
            await stream.send_all(reply("404 Not Found" if named else "400 Bad Request"))
        elif "id" not in message:
            await stream.send_all(reply("202 Accepted"))
        else:
            await stream.send_all(reply("200 OK", answer_to(message["id"], {})))

    async def initialize(self, stream, request_id):
        if self.session and self.broken:
            broken = self.broken.pop(0)
            await (stream.send_all(broken) if isinstance(broken, bytes) else broken(stream))
            return
        result = b'{"protocolVersion":"2025-11-25","capabilities":%b}' % self.capabilities
        body = answer_to(request_id, msgspec.Raw(result))
        await stream.send_all(reply("200 OK", body, mcp_session_id=self.begin()))


def answer_to(request_id, result):
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "result": result})


@asynccontextmanager
async def opened(nursery, server):
    """A client of a bridge to this server, after the handshake."""
    await nursery.start(server.scripted.run)
    async with bridged(server.scripted) as client:
        await client.open()
        yield client
