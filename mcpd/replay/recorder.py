"""A proxy that writes down what passes: everything goes on as it came, at once, but the server's
own URL, which is the proxy's to the client.

client ── requests ──► Recorder ── the same ──► server
                          └─► observations ──► transcript
"""

import logging
import re
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import h11
import trio

from mcpd.errors import McpdError
from mcpd.http.client import Broken, HttpClient, IncomingResponse, NotConnected
from mcpd.http.event_reader import EventReader
from mcpd.mcp.failures import first_failure
from mcpd.replay.received import speaks_mcp
from mcpd.replay.rewriting import Rewriter
from mcpd.replay.scrub import read_json

log = logging.getLogger("mcpd.record")

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024
RECEIVE_BYTES = 64 * 1024
IDLE_S = 300.0  # for a client to send its next request
WRITE_S = 60.0  # for a client to read
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"host",
     b"content-length", b"proxy-connection", b"accept-encoding"}
)  # fmt: skip  # what is compressed cannot be read
SENT_URLS = (b"origin", b"referer")
GIVEN_URLS = (b"www-authenticate", b"location", b"content-location", b"link",
    b"access-control-allow-origin")  # fmt: skip
NOT_MCP = ("application/json", "application/x-www-form-urlencoded")  # OAuth's documents and forms
ENDPOINT = re.compile(rb"event: ?endpoint")  # of HTTP+SSE: its data is a URL

_EMPTY = [(b"content-length", b"0"), (b"connection", b"close")]


@dataclass(slots=True)
class Observation:
    """One thing that passed. ``when`` is in seconds."""

    kind: Literal["request", "response", "event", "end", "close"]
    number: int
    when: float
    method: str = ""
    target: str = ""
    status: int = 0
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    event_id: str = ""
    event_name: str = ""


class Recorder:
    """Serves one upstream. ``seen`` grows while it runs.

    Args:
        rewriter: puts the URL of the one in the place of the other's; None: nothing is changed.
    """

    def __init__(self, client: HttpClient, rewriter: Rewriter | None = None) -> None:
        self.seen: list[Observation] = []
        self._rewriter = rewriter
        self._client = client
        self._count = 0

    async def serve(self, listeners: list[trio.SocketListener]) -> None:
        """Serve for ever.

        Cancellation: connections end at once.
        """
        await trio.serve_listeners(self._connection, listeners)

    def _see(self, kind: Any, number: int, **more: Any) -> None:
        self.seen.append(Observation(kind, number, time.monotonic(), **more))

    async def _connection(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER, MAX_HEAD_BYTES)
        try:
            while await self._request(stream, connection):
                connection.start_next_cycle()
        except* (
            trio.BrokenResourceError,
            h11.ProtocolError,
            trio.TooSlowError,
            McpdError,
        ) as group:
            log.warning("a connection ended: %s", type(first_failure(group)).__name__)

    async def _request(self, stream: trio.SocketStream, connection: h11.Connection) -> bool:
        """One exchange; False: the connection takes no other."""
        found = await _read_request(stream, connection)
        if found is None:
            return False
        head, body = found
        if not head.target.startswith(b"/"):  # a proxy's form of it: that would be another server
            await _send(stream, connection, h11.Response(status_code=400, headers=_EMPTY))
            return False
        self._count += 1
        number = self._count
        fields = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in head.headers]
        method, target = head.method.decode("ascii"), head.target.decode("latin-1")
        self._see("request", number, method=method, target=target, fields=fields, body=body)
        ended = False  # unless the client hangs up before
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, stream, number, nursery.cancel_scope)
            ended = await self._answer(stream, connection, number, head, body)
            nursery.cancel_scope.cancel()
        return ended and connection.our_state is h11.DONE and connection.their_state is h11.DONE

    def _to_server(self, data: bytes) -> bytes:
        """Bytes with the server's URL in the place of the proxy's."""
        if self._rewriter is None:
            return data
        return self._rewriter.to_server(data.decode("latin-1")).encode("latin-1")

    def _to_client(self, data: bytes) -> bytes:
        """The other way."""
        if self._rewriter is None:
            return data
        return self._rewriter.to_client(data.decode("latin-1")).encode("latin-1")

    async def _watch(self, stream: trio.SocketStream, number: int, scope: trio.CancelScope) -> None:
        """A client that hangs up before the end of the response."""
        while True:
            await trio.lowlevel.wait_readable(stream.socket)
            try:
                data = await stream.socket.recv(1, trio.socket.MSG_PEEK)
            except OSError:
                data = b""
            if not data:
                self._see("close", number)
                scope.cancel()
            await trio.sleep(0.05)  # a pipelined request stays where it is

    async def _answer(
        self,
        stream: trio.SocketStream,
        connection: h11.Connection,
        number: int,
        head: h11.Request,
        body: bytes,
    ) -> bool:
        fields = [(n, v) for n, v in head.headers if n not in HOP_BY_HOP]
        passed = [(n, self._to_server(v) if n in SENT_URLS else v) for n, v in fields]
        if _kind(fields) in NOT_MCP and not speaks_mcp(read_json(body)):
            body = self._to_server(body)
        target = self._to_server(head.target).decode("latin-1")
        try:
            response = await self._client.begin(head.method.decode("ascii"), target, passed, body)
        except (NotConnected, Broken) as error:
            log.warning("the server: %s", error)
            return False  # as the client would have seen it
        async with response:
            try:
                return await self._pass_on(stream, connection, number, response)
            except Broken as error:
                log.warning("the server: %s", error)
                return False

    async def _pass_on(
        self,
        stream: trio.SocketStream,
        connection: h11.Connection,
        number: int,
        response: IncomingResponse,
    ) -> bool:
        streams = response.header(b"content-type") == "text/event-stream"
        fields = [(n, v) for n, v in response.fields if n.lower() not in HOP_BY_HOP]
        passed = [(n, self._to_client(v) if n.lower() in GIVEN_URLS else v) for n, v in fields]
        shown = [(n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in passed]
        body = b""
        if streams:
            self._see("response", number, status=response.status, fields=shown)
        else:
            body = await response.read(MAX_BODY_BYTES)
            if _kind(passed) in NOT_MCP and not speaks_mcp(read_json(body)):
                body = self._to_client(body)
            self._see("response", number, status=response.status, fields=shown, body=body)
            if response.status != 204:
                passed.append((b"content-length", b"%d" % len(body)))
        reply = h11.Response(status_code=response.status, headers=passed)
        await _send(stream, connection, reply)
        if streams:
            await self._stream(stream, connection, number, response)
        elif body:
            await _send(stream, connection, h11.Data(data=body))
        await _send(stream, connection, h11.EndOfMessage())
        return True

    async def _stream(
        self,
        stream: trio.SocketStream,
        connection: h11.Connection,
        number: int,
        response: IncomingResponse,
    ) -> None:
        reader, last_id = EventReader(MAX_BODY_BYTES), ""
        try:
            while piece := await response.receive():
                if ENDPOINT.search(piece):
                    piece = self._to_client(piece)
                for event in reader.feed(piece):
                    self._see("event", number, body=event.data, event_id=event.id,
                              event_name=event.name)  # fmt: skip
                    last_id = event.id
                if reader.last_id != last_id:  # an id without data: where to come back to
                    last_id = reader.last_id
                    self._see("event", number, event_id=last_id)
                await _send(stream, connection, h11.Data(data=piece))
        finally:
            if not _hung_up(self.seen, number):
                self._see("end", number)


def _kind(fields: list[tuple[bytes, bytes]]) -> str:
    """The media type of a body."""
    found = next((value for name, value in fields if name.lower() == b"content-type"), b"")
    return found.partition(b";")[0].strip().lower().decode("latin-1")


def _hung_up(seen: list[Observation], number: int) -> bool:
    return any(o.kind == "close" and o.number == number for o in seen)


async def _read_request(
    stream: trio.SocketStream, connection: h11.Connection
) -> tuple[h11.Request, bytes] | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await _send(stream, connection, go_on)
            with trio.fail_after(IDLE_S):
                connection.receive_data(bytes(await stream.receive_some(RECEIVE_BYTES)))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return head, bytes(body)
        else:
            return None


async def _send(stream: trio.SocketStream, connection: h11.Connection, event: h11.Event) -> None:
    data = connection.send(event)
    if data:
        with trio.fail_after(WRITE_S):
            await stream.send_all(data)
