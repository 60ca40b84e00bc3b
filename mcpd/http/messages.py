"""The values that pass through the HTTP layer: Request in, Response or EventStream out."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

import msgspec

from mcpd.errors import BadRequest
from mcpd.observer import Activity

HeaderPairs = tuple[tuple[bytes, bytes], ...]

JSON_HEADERS: HeaderPairs = ((b"content-type", b"application/json"),)


class Headers:
    """Header fields of one request, names in lower case.

    A field that came twice is remembered as such: taking the first of two is how one gateway
    and the next come to disagree about a request.
    """

    __slots__ = ("_fields", "_repeated")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        fields: dict[bytes, bytes] = {}
        repeated: dict[bytes, list[bytes]] = {}
        for name, value in pairs:
            if name in fields:
                repeated.setdefault(name, [fields[name]]).append(value)
            else:
                fields[name] = value
        self._fields = fields
        self._repeated = repeated

    def __contains__(self, name: bytes) -> bool:
        return name in self._fields

    def raw(self, name: bytes) -> bytes | None:
        """The single value as bytes, or None.

        Raises:
            BadRequest: the field came more than once.
        """
        if self._repeated and name in self._repeated:
            shown = name.decode("ascii", "replace")
            raise BadRequest(f"The header {shown} came more than once.", fix=f"Send {shown} once.")
        return self._fields.get(name)

    def one(self, name: bytes) -> str | None:
        """Like ``raw``, as text (latin-1: one character a byte, nothing is lost)."""
        value = self.raw(name)
        return None if value is None else value.decode("latin-1")

    def joined(self, name: bytes) -> str:
        """All values of a list-valued field, joined by commas (RFC 9110, section 5.3)."""
        if name in self._repeated:
            return ", ".join(v.decode("latin-1") for v in self._repeated[name])
        return self._fields.get(name, b"").decode("latin-1")

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """Every field once; repeated ones with their first value."""
        return self._fields.items()


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the socket or a trusted proxy reports it."""

    address: str
    is_loopback: bool  # of this machine, and not through a proxy
    scheme: str = "http"
    host: str | None = None  # as a trusted proxy reports it, else None


class BodyReader(Protocol):
    """Reads the rest of one request; given by the connection."""

    def take(self, max_bytes: int) -> bytes | None: ...
    async def read(self, max_bytes: int) -> bytes: ...


class Exchange(Protocol):
    """One request and its answer, as the connection has them."""

    def keep_on_disconnect(self) -> None: ...
    def cancel(self, answer: "Response") -> None: ...


class Request(msgspec.Struct, eq=False):
    """One HTTP request whose head has arrived; the body is still to be read."""

    method: str
    path: str  # percent-decoded once
    query: str  # as it came
    headers: Headers
    host: str | None  # of an absolute-form target, or the Host header
    peer: Peer
    activity: Activity  # what the observer knows of it
    memory: dict[type, Any]  # what was made of this head before; empty for a new one
    _body: BodyReader
    _exchange: Exchange

    @property
    def public_host(self) -> str | None:
        """The host that the client asked for, as a trusted proxy reports it, or its own word."""
        return self.peer.host or self.host

    @property
    def id(self) -> str:
        """Names it in the log and to its client."""
        return self.activity.id

    def body_at_hand(self, max_bytes: int) -> bytes | None:
        """The whole body if it came together with its head, as small ones do; None: see ``body``.

        Raises:
            ContentTooLarge: it has more than ``max_bytes``.
        """
        return self._body.take(max_bytes)

    async def body(self, max_bytes: int) -> bytes:
        """Read the whole body.

        Raises:
            ContentTooLarge: it has more than ``max_bytes``; known from Content-Length before
                a byte is read, else as soon as the bound is passed.
            BadRequest: its framing is broken.

        Cancellation: the connection cannot be used afterwards and closes.
        """
        return await self._body.read(max_bytes)

    def keep_on_disconnect(self) -> None:
        """Let the endpoint finish although the peer has gone; what it sends is dropped."""
        self._exchange.keep_on_disconnect()

    def cancel(self, answer: "Response") -> None:
        """Cancel what serves it, from another task; the client gets this answer instead. Only while
        the endpoint runs, and only if that returns a Response.
        """
        self._exchange.cancel(answer)


class Response(msgspec.Struct, frozen=True):
    """A complete answer. Content-Length, Date and Connection are the connection's to add."""

    status: int
    body: bytes = b""
    headers: HeaderPairs = ()


class EventSink(Protocol):
    """Where the events of one stream go. The head is sent with the first event."""

    async def send(self, event: bytes, *, last: bool = False) -> bool:
        """Write encoded events; returns when the socket took them (backpressure). False: the
        stream is over, and they did not go out. ``last``: the stream ends with them. Others have no
        turn meanwhile if the socket takes them at once.
        """

    async def post(self, event: bytes) -> None:
        """Write encoded events soon, together with others; returns before that, if not too much
        waits (see ``coalescing``).
        """

    async def open(self) -> None:
        """Send the head now, before there is an event."""


@dataclass(frozen=True, slots=True)
class EventStream:
    """An answer that may become a text/event-stream.

    ``run`` writes events to the sink. If it returns a Response and has sent nothing, that plain
    response is the answer; so a call that turns out to have nothing to stream stays plain.
    ``lasts_s`` is for how long its client may read an open-ended one, then it ends in the same way.
    ``open_ended`` marks a stream that ends only with the peer or the server: a drain ends it
    at once, where it lets others finish, and ``farewell`` makes its last bytes of the hint for
    when to come back, in milliseconds; without it the hint alone is told. ``opener`` is what an
    open-ended one was opened with: by it some of them can be ended (``ServerState.end_streams``).
    """

    run: Callable[[EventSink], Awaitable[Response | None]]
    headers: HeaderPairs = ()
    open_ended: bool = False
    lasts_s: float = inf
    farewell: Callable[[int], bytes] | None = None
    opener: Any = None


Answer = Response | EventStream
Endpoint = Callable[[Request], Awaitable[Answer]]
