"""The transport of 2024-11-05, HTTP+SSE: one stream for everything that comes, and a place to post
that its first event names.
"""

import logging

import trio

from mcpd.client.errors import Undeliverable
from mcpd.client.http_transport import HttpTransport
from mcpd.client.redirects import target_at
from mcpd.client.responses import (
    ACCEPT_EVENT_STREAM,
    OnMessage,
    is_stream,
    new_reader,
    read_quietly,
)
from mcpd.errors import McpdError
from mcpd.http.client import Broken, IncomingResponse

log = logging.getLogger("mcpd.client")

ENDPOINT_S = 10.0  # for the first event
POST_HEADERS = [(b"content-type", b"application/json")]


class HttpSseStream:
    """One connection to such a server. When its stream ends, the session is over."""

    def __init__(self, transport: HttpTransport, receive: OnMessage) -> None:
        self._transport = transport
        self._receive = receive
        self._endpoint = ""
        self._named = trio.Event()
        self._scope = trio.CancelScope()
        self.ended = trio.Event()

    async def open(self, nursery: trio.Nursery) -> bool:
        """Connect; False: the server has no such stream.

        Raises:
            Undeliverable: it cannot be reached.
        """
        response = await self._transport.begin("GET", ACCEPT_EVENT_STREAM, repeatable=True)
        if not is_stream(response):
            words = await self._transport.explain(response)
            log.info("no HTTP+SSE either: %s %s", response.status, words)
            return False
        nursery.start_soon(self._read, response)
        with trio.move_on_after(ENDPOINT_S):
            await self._named.wait()
        if not self._endpoint:
            self._scope.cancel()
        return bool(self._endpoint)

    async def _read(self, response: IncomingResponse) -> None:
        try:
            with self._scope:
                await self._hand_on(response)
        except (Broken, McpdError) as error:
            log.warning("the event stream broke: %s", error)
        finally:
            self.ended.set()
            self._named.set()

    async def _hand_on(self, response: IncomingResponse) -> None:
        reader = new_reader()
        async with response:
            while piece := await response.receive():
                for event in reader.feed(piece):
                    if event.name == "endpoint":
                        self._name(event.data.decode("utf-8", "replace"), response.target)
                    elif event.name == "message":
                        await self._receive(event.data)

    def _name(self, told: str, here: str) -> None:
        """The endpoint may be relative; another origin is not followed, since it gets the token."""
        self._named.set()
        endpoint = target_at(self._transport.url_of(here), told)
        if endpoint is None:
            log.error("the server names an endpoint that is no URL, or of another origin")
            return
        self._endpoint = endpoint

    async def post(self, body: bytes) -> None:
        """Send a message.

        Raises:
            Undeliverable: it was not taken.
        """
        response = await self._transport.begin(
            "POST", POST_HEADERS, body, target=self._endpoint, repeatable=False
        )
        if response.status not in (200, 202, 204):
            words = await self._transport.explain(response)
            raise Undeliverable(f"The server answers {response.status}: {words}")
        await read_quietly(response)

    async def exchange(self, body: bytes, done: trio.Event) -> None:
        """Send a request and wait until it is done; ``receive`` gets its answer.

        Raises:
            Undeliverable: the stream ended first.
        """
        if self.ended.is_set():
            raise _over()
        await self.post(body)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._until_ended, nursery.cancel_scope)
            await done.wait()
            nursery.cancel_scope.cancel()
        if not done.is_set():
            raise _over()

    async def _until_ended(self, scope: trio.CancelScope) -> None:
        await self.ended.wait()
        scope.cancel()


class Fallback:
    """HTTP+SSE in the place of Streamable HTTP, once a server turned out to know nothing else.

    Args:
        receive: gets every message of the server.
    """

    def __init__(self, transport: HttpTransport, receive: OnMessage) -> None:
        self.stream: HttpSseStream | None = None
        self.nursery: trio.Nursery | None = None  # of the client; owns the stream
        self._transport = transport
        self._receive = receive

    async def open(self, reason: str) -> bool:
        """Use it from here on, if the server has it.

        Raises:
            Undeliverable: the server cannot be reached.
        """
        if self.nursery is None:
            return False
        log.info("trying HTTP+SSE (%s)", reason)
        stream = HttpSseStream(self._transport, self._receive)
        if not await stream.open(self.nursery):
            return False
        self.stream = stream
        return True


def _over() -> Undeliverable:
    return Undeliverable(
        "The event stream of the server ended, and the session with it.",
        fix="Start the client again.",
    )
