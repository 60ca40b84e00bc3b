"""What came of one request that is played."""

import json
from dataclasses import dataclass, field
from typing import Any

import trio

from mcpd.http.client import IncomingResponse
from mcpd.http.event_reader import EventReader, ServerEvent
from mcpd.replay.scrub import read_json

MAX_BODY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message with the id of its event; None: an id alone."""

    message: Any
    event_id: str = ""


@dataclass(eq=False, slots=True)
class PlayedRequest:
    """One request under way. ``changed`` is set at each news of it.

    Attributes:
        sent: the body of the request, if it was JSON.
        seen: every message that came.
        arrivals: what no expectation has taken yet.
        garbage: events that are no JSON.
        endpoint: where a server of HTTP+SSE wants messages.
        broken: how its connection failed.
    """

    sent: Any = None
    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    seen: list[Any] = field(default_factory=list)
    garbage: int = 0
    messages: list[ReceivedMessage] = field(default_factory=list)
    endpoint: str = ""
    text: bytes = b""
    ended: bool = False
    unmade: bool = False  # a client of this server would not have sent it
    answered: bool = False  # its answer was taken
    broken: str = ""
    never_connected: bool = False
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    changed: trio.Event = field(default_factory=trio.Event)

    @property
    def streams(self) -> bool:
        """Whether events come, and no body."""
        kind = self.fields.get("content-type", "").partition(";")[0].strip().lower()
        return kind == "text/event-stream"

    def news(self) -> None:
        """Something came; those who wait look again."""
        self.changed.set()
        self.changed = trio.Event()

    def first_id(self) -> str:
        """The first id of an event that was not taken yet."""
        return next((received.event_id for received in self.messages if received.event_id), "")


async def receive(exchange: PlayedRequest, response: IncomingResponse) -> None:
    """Read a response to its end.

    Raises:
        Broken: it ends before.
        ContentTooLarge: it passes MAX_BODY_BYTES.
    """
    exchange.status = response.status
    pairs = response.headers.items()
    exchange.fields = {n.decode("latin-1"): v.decode("latin-1") for n, v in pairs}
    if response.header(b"content-type") != "text/event-stream":
        exchange.text = await response.read(MAX_BODY_BYTES)
        _keep(exchange, _messages(exchange.text) or [], "")
        return
    exchange.news()
    reader, last_id = EventReader(MAX_BODY_BYTES), ""
    while piece := await response.receive():
        for event in reader.feed(piece):
            _receive_event(exchange, event)
            last_id = event.id
        if reader.last_id != last_id:
            last_id = reader.last_id
            exchange.messages.append(ReceivedMessage(None, last_id))
        exchange.news()


def _receive_event(exchange: PlayedRequest, event: ServerEvent) -> None:
    if event.name == "endpoint":
        exchange.endpoint = event.data.decode("utf-8", "replace")
    if event.name != "message":
        return
    messages = _messages(event.data)
    if messages is None:
        exchange.garbage += 1
    else:
        _keep(exchange, messages, event.id)


def _keep(exchange: PlayedRequest, messages: list[Any], event_id: str) -> None:
    exchange.seen += messages
    exchange.messages += [ReceivedMessage(message, event_id) for message in messages]


def _messages(data: bytes) -> list[Any] | None:
    """None: they are no JSON."""
    body = read_json(data)
    return body if body is None or isinstance(body, list) else [body]


def speaks_mcp(body: Any) -> bool:
    """Whether a body is a message, or a batch of them."""
    first = body[0] if isinstance(body, list) and body else body
    return isinstance(first, dict) and first.get("jsonrpc") == "2.0"


def summary(body: Any) -> str:
    """A message in a few words."""
    if not isinstance(body, dict):
        return json.dumps(body)[:200]
    if "method" in body:
        params = body.get("params")
        name = params.get("name") or params.get("uri") if isinstance(params, dict) else None
        return f"{body['method']} {name}" if isinstance(name, str) else str(body["method"])
    if isinstance(body.get("error"), dict):
        return f"an answer with the error {body['error'].get('code')}"
    return f"the answer to {json.dumps(body.get('id'))}"


def what_came(exchange: PlayedRequest) -> str:
    """For the words of a mismatch."""
    if exchange.broken:
        return exchange.broken
    said = [summary(received.message) for received in exchange.messages if received.message]
    if said:
        return "instead: " + ", ".join(said[:5])
    return f"{exchange.status or 'no response'} and nothing more"
