"""An HTTP server that does as it is told, for what no well-behaved server does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import h11
import msgspec
import trio

Answer = bytes | Callable[[trio.abc.Stream], Awaitable[None]] | None


@dataclass
class Seen:
    """A request that came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedServer:
    """Answers requests in turn: bytes are written as they are, None closes the connection."""

    answers: list[Answer]
    seen: list[Seen] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def run(self, *, task_status: trio.TaskStatus["ScriptedServer"]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._serve, listeners)
            task_status.started(self)
            await trio.sleep_forever()

    async def _serve(self, stream: trio.SocketStream) -> None:
        while True:
            request = await _read(stream)
            if request is None:
                return
            self.seen.append(request)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is None:
                return
            if isinstance(answer, bytes):
                await stream.send_all(answer)
            else:
                await answer(stream)


async def _read(stream: trio.SocketStream) -> Seen | None:
    connection = h11.Connection(h11.SERVER)
    head, body = None, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            try:
                data = await stream.receive_some(65536)
            except trio.BrokenResourceError:
                return None
            if not data and head is None:
                return None
            connection.receive_data(data)
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {n.decode(): v.decode() for n, v in head.headers}
            return Seen(head.method.decode(), head.target.decode(), headers, body)
        else:
            return None


def reply(status: str, body: bytes = b"", kind: str = "application/json", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def stream_head() -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer_to(request_id, result):
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "result": result})


class SessionServer:
    """A scripted server with sessions.

    ``broken`` are answers to the initialize requests that come after the first, before a good
    one. ``capabilities`` is JSON.
    """

    def __init__(self, *broken, capabilities=b"{}"):
        self.scripted = ScriptedServer([self.play])
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
