"""The client side of HTTP/1.1: requests to one origin over a few kept connections.

Nothing is repeated here: what a request that failed may have done is the caller's to judge.
"""

import select
from collections.abc import Sequence
from types import TracebackType

import h11
import trio

from mcpd.errors import BadRequest, ContentTooLarge
from mcpd.http.messages import Headers
from mcpd.http.origin import NotConnected, Origin

RECEIVE_BYTES = 64 * 1024
MAX_HEAD_BYTES = 64 * 1024
MAX_IDLE = 8  # connections that are kept
IDLE_S = 30.0  # for one of them
WRITE_S = 60.0  # for the server to read a request

Pairs = Sequence[tuple[bytes, bytes]]
__all__ = ["Broken", "HttpClient", "IncomingResponse", "NotConnected"]


class Broken(Exception):
    """The connection broke after the request, or a part of it, was sent. The text says how."""


class IncomingResponse:
    """A response whose body is still to come; an async context manager.

    Attributes:
        status: RFC 9110, section 15.
        headers: names in lower case.
        target: what was asked for: path and query.
    """

    def __init__(
        self, client: "HttpClient", connection: "_Connection", event: h11.Response, target: str
    ) -> None:
        self.target = target
        self.status = event.status_code
        self.headers = Headers((bytes(name), bytes(value)) for name, value in event.headers)
        self.fields = [(bytes(name), bytes(value)) for name, value in event.headers.raw_items()]
        self._client = client
        self._connection = connection

    async def __aenter__(self) -> "IncomingResponse":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.give_back(self._connection)

    def header(self, name: bytes) -> str:
        """A field's value in lower case without its parameters; empty if it is not there."""
        return self.headers.joined(name).partition(";")[0].strip().lower()

    async def receive(self) -> bytes:
        """The next piece of the body as it arrives; empty at its end.

        Raises:
            Broken: it ends before its end.
        """
        while True:
            event = await self._connection.next_event()
            if isinstance(event, h11.EndOfMessage):
                return b""
            if isinstance(event, h11.Data) and event.data:
                return bytes(event.data)

    async def read(self, max_bytes: int) -> bytes:
        """The whole body.

        Raises:
            Broken: see ``receive``.
            ContentTooLarge: it has more than ``max_bytes``.
        """
        body = bytearray()
        while piece := await self.receive():
            body += piece
            if len(body) > max_bytes:
                raise ContentTooLarge(f"The server's answer has more than {max_bytes} bytes.")
        return bytes(body)


class _Connection:
    """One connection and how far its request is."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.idle_since = 0.0
        self._ended = False
        self._http = h11.Connection(h11.CLIENT, MAX_HEAD_BYTES)

    async def send(self, request: h11.Request, body: bytes) -> None:
        http = self._http
        data = http.send(request) or b""
        if body:
            data += http.send(h11.Data(data=body)) or b""
        data += http.send(h11.EndOfMessage()) or b""
        try:
            with trio.fail_after(WRITE_S):
                await self.stream.send_all(data)
        except trio.TooSlowError:
            raise Broken(f"the server did not read the request within {WRITE_S:g} s") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # an answer may be there all the same, like 413

    async def next_event(self) -> h11.Event:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                if self._ended:
                    raise Broken("the server closed the connection") from error
                raise Broken("the server does not answer in HTTP/1.1") from error
            if event is h11.NEED_DATA:
                data = await self._receive()
                self._ended = not data
                self._http.receive_data(data)
            elif event is h11.PAUSED:
                raise Broken("the server sent more than it was asked for")
            elif isinstance(event, h11.ConnectionClosed):
                raise Broken("the server closed the connection")
            elif not isinstance(event, h11.InformationalResponse):
                return event  # type: ignore[return-value]  # no sentinel is left

    async def _receive(self) -> bytes:
        try:
            return bytes(await self.stream.receive_some(RECEIVE_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Broken("the connection was reset") from None

    def renew(self) -> bool:
        """Make ready for another request; False: this connection takes none."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return not self._http.trailing_data[0]

    @property
    def is_stale(self) -> bool:
        """Whether the server closed it, or sent what was not asked for."""
        stream = self.stream
        if isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        if not isinstance(stream, trio.SocketStream):
            return False
        poll = select.poll()
        poll.register(stream.socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))


class HttpClient:
    """Requests to one origin; an async context manager. Any number may be under way, each on a
    connection of its own.

    Args:
        origin: see ``origin.resolve_origin``.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._idle: list[_Connection] = []
        self._closed = False

    async def __aenter__(self) -> "HttpClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def begin(
        self, method: str, target: str, headers: Pairs = (), body: bytes = b""
    ) -> IncomingResponse:
        """Send a request and wait for the head of the response. Host and Content-Length are
        added.

        Raises:
            BadRequest: a header or the target cannot be sent; nothing was.
            NotConnected: nothing was sent.
            Broken: the connection broke; whether the server saw the request is not known.

        Cancellation: the connection is closed.
        """
        request = self._request(method, target, headers, body)
        connection = self._reuse_idle() or _Connection(await self._origin.connect())
        try:
            await connection.send(request, body)
            event = await connection.next_event()
            if not isinstance(event, h11.Response):
                raise Broken("the server sent no response")
            return IncomingResponse(self, connection, event, target)
        except BaseException:
            await trio.aclose_forcefully(connection.stream)
            raise

    def _request(self, method: str, target: str, headers: Pairs, body: bytes) -> h11.Request:
        """Servers make up targets, ids and versions that go into the next request. A target that
        is no path would be read as more of the host's name by a proxy, which gets both in one.
        """
        if not target.startswith("/"):
            raise BadRequest("The request cannot be sent: its target does not begin with a slash.")
        try:
            return h11.Request(
                method=method,
                target=self._origin.absolute + target.encode("ascii"),
                headers=[*self._framing(method, body), *headers],
            )
        except (h11.LocalProtocolError, UnicodeError) as error:
            raise BadRequest(  # the library's words repeat the value, which may be a secret
                "The request cannot be sent: its target or a header holds what HTTP does not allow."
            ) from error

    def _framing(self, method: str, body: bytes) -> list[tuple[bytes, bytes]]:
        fields = [(b"host", self._origin.authority)]
        proxy = self._origin.proxy
        if proxy is not None and proxy.authorization is not None and self._origin.tls is None:
            fields.append((b"proxy-authorization", proxy.authorization))
        if body or method in ("POST", "PUT", "PATCH"):
            fields.append((b"content-length", b"%d" % len(body)))
        return fields

    def _reuse_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if trio.current_time() - connection.idle_since < IDLE_S and not connection.is_stale:
                return connection
            self._drop(connection)
        return None

    async def give_back(self, connection: _Connection) -> None:
        """A response is done with: keep its connection, or close it."""
        if not self._closed and connection.renew() and len(self._idle) < MAX_IDLE:
            connection.idle_since = trio.current_time()
            self._idle.append(connection)
        else:
            await trio.aclose_forcefully(connection.stream)

    def _drop(self, connection: _Connection) -> None:
        stream = connection.stream
        if isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        if isinstance(stream, trio.SocketStream):
            stream.socket.close()

    async def aclose(self) -> None:
        """Close what is idle, and what is given back from here on."""
        self._closed = True
        while self._idle:
            await trio.aclose_forcefully(self._idle.pop().stream)


def retry_after_s(headers: Headers) -> float | None:
    """The seconds of Retry-After (RFC 9110, section 10.2.3); a date is not understood."""
    try:
        value = headers.one(b"retry-after")
    except BadRequest:
        return None
    return float(value) if value is not None and value.isdecimal() and len(value) < 9 else None
