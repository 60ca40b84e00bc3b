"""One request until it is answered: the way there, the way back, and what to do when one breaks."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import trio

from mcpd.client.errors import Undeliverable
from mcpd.client.http_sse import Fallback
from mcpd.client.http_transport import HttpTransport
from mcpd.client.messages import Outgoing, ServerMessage, read_messages, with_id
from mcpd.client.pending import Emit, Pending
from mcpd.client.refusals import is_gone, may_be_old, without_json_rpc
from mcpd.client.responses import (
    ACCEPT_EVENT_STREAM,
    POST_HEADERS,
    is_stream,
    new_reader,
    read_body,
    read_events,
    read_quietly,
)
from mcpd.client.session import ClientSession
from mcpd.errors import InternalError, McpdError
from mcpd.http.client import Broken, IncomingResponse
from mcpd.http.event_reader import EventReader

log = logging.getLogger("mcpd.client")

MIN_RETRY_S = 0.1  # whatever the server names
RETRY_S = 1.0  # before a stream is taken up again, if the server names no time
MAX_RETRY_S = 60.0  # whatever it names
MAX_BARREN = 10  # connections in a row that bring nothing
MAX_AGAIN = 2  # times that a request is sent again when its stream ended without an answer
LISTEN = "subscriptions/listen"

Pairs = list[tuple[bytes, bytes]]
Receive = Callable[[bytes, "Exchange"], Awaitable[bool]]  # False: they are no messages


@dataclass(frozen=True, slots=True)
class Transport:
    """How an exchange reaches the server.

    Attributes:
        receive: takes what the server sent on the exchange's stream, and settles what it answers.
    """

    http: HttpTransport
    session: ClientSession
    fallback: Fallback
    receive: Receive


class Exchange:
    """A request, or a batch of them.

    Attributes:
        mirrored: the headers of a request of the modern era; None: of the handshake era.
        response: the last one.
    """

    def __init__(
        self, transport: Transport, outgoing: Outgoing, mirrored: Pairs | None, emit: Emit
    ) -> None:
        self.outgoing = outgoing
        self.mirrored = mirrored
        self.pending = Pending(outgoing, emit)
        self.response: IncomingResponse | None = None
        self._transport = transport

    @property
    def is_initialize(self) -> bool:
        """Whether it begins a session."""
        return self.mirrored is None and self.outgoing.calls[0].method == "initialize"

    @property
    def method(self) -> str:
        """Of its first request."""
        return self.outgoing.calls[0].method

    # --- the way there --------------------------------------------------------------------------

    async def run(self, wait_turn: Callable[[], Awaitable[None]]) -> None:
        """Carry it there when it is its turn, and everything that comes back to the caller;
        without an answer the caller gets an error that says why.
        """
        try:
            with self.pending.scope:
                await wait_turn()
                await self._deliver()
        except McpdError as error:
            log.warning("%s: %s", self.method, error.message)
            await self.pending.fail(error)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise  # the caller has gone
        except Exception:  # a bug is no reason to leave the caller without an answer
            log.exception("%s failed", self.method)
            await self.pending.fail(InternalError("A fault of this client; its log has it."))
        finally:
            self.pending.end()

    async def _deliver(self) -> None:
        http, session = self._transport.http, self._transport.session
        renewed, again = False, 0
        while self.pending.waiting and not self.pending.cancelled:
            if self._transport.fallback.stream is not None:
                await self._transport.fallback.stream.exchange(
                    self.outgoing.body, self.pending.done
                )
                return
            await session.settled()
            number = session.number
            in_session = self.mirrored is None and not self.is_initialize and session.is_there
            response = await http.begin(
                "POST", self._headers(), self.outgoing.body, repeatable=self.outgoing.repeatable
            )
            if response.status not in (200, 202, 204):
                body = await read_quietly(response)
                if in_session and not renewed and is_gone(response.status, body):
                    await session.renew(number)
                    renewed = True
                else:
                    await self._refused(response.status, body)
                continue
            await self._read(response)
            if self.pending.waiting and not self.pending.cancelled:
                again += 1
                await self._pause_before_again(again)

    def _headers(self) -> Pairs:
        if self.mirrored is not None:
            return [*POST_HEADERS, *self.mirrored]
        return [*POST_HEADERS, *([] if self.is_initialize else self._transport.session.headers)]

    async def _pause_before_again(self, again: int) -> None:
        """The connection ended before the answer, and there is nothing to come back to. A stream
        of changes has no answer: it is begun as often as it ends, a little later each time.
        """
        if not self.outgoing.repeatable or (again > MAX_AGAIN and self.method != LISTEN):
            raise Undeliverable(
                "The connection ended before the answer. It is not known whether the call was"
                " carried out.",
                fix="See what it has changed before you call again.",
            )
        await trio.sleep(min(again * RETRY_S, MAX_RETRY_S))

    async def _refused(self, status: int, body: bytes) -> None:
        """Pass a refusal on, or find another way.

        Raises:
            Undeliverable: it says nothing to the caller.
        """
        messages = _messages_in(body)
        old = self.is_initialize and may_be_old(status, speaks_json_rpc=bool(messages))
        if old and await self._transport.fallback.open(f"POST: {status}"):
            return
        if not messages:
            words, repeatable = self._transport.http.words(body), self.outgoing.repeatable
            raise without_json_rpc(status, words, repeatable=repeatable)
        for message in messages:
            await self._pass_on_refusal(message)
        if self.pending.waiting:
            raise Undeliverable(f"The server answers {status}, and says nothing of this request.")

    async def _pass_on_refusal(self, message: ServerMessage) -> None:
        """An error that names no request is about each of ours."""
        message = self.pending.as_asked(message)
        if message.key is not None and message.key in self.pending.waiting:
            await self.pending.settle(message.key, message.line)
        elif message.is_error:
            for key, request_id in list(self.pending.waiting.items()):
                await self.pending.settle(key, with_id(message.line, request_id))

    # --- the way back ---------------------------------------------------------------------------

    async def _read(self, response: IncomingResponse) -> None:
        self.response = response
        if response.status != 200:
            async with response:
                if not self.pending.cancelled:
                    raise Undeliverable(
                        f"The server answers {response.status}, and so will not answer the request."
                    )
            self.pending.end()
        elif is_stream(response):
            await self._follow(response)
        else:
            await self._read_answer(response)

    async def _read_answer(self, response: IncomingResponse) -> None:
        try:
            body = await read_body(response)
        except Broken:
            return  # ``_deliver`` knows what then
        if not await self._transport.receive(body, self):
            kind = response.header(b"content-type") or "no content type"
            raise Undeliverable(
                f"The server answers with something that is no MCP ({kind}).",
                fix="Is the URL that of the MCP endpoint?",
            )
        if self.pending.waiting:
            messages = _messages_in(body)
            if len(messages) != 1 or not _names_no_request(messages[0]):
                raise Undeliverable("The server's answer answers another request.")
            await self._pass_on_refusal(messages[0])

    async def _follow(self, response: IncomingResponse) -> None:
        reader, barren = new_reader(), 0

        async def receive(body: bytes) -> None:
            await self._transport.receive(body, self)

        while True:
            received = self.pending.received
            await read_events(response, reader, receive)
            if not self.pending.waiting or self.pending.cancelled or not reader.last_id:
                return
            barren = barren + 1 if self.pending.received == received else 0
            if barren >= MAX_BARREN:
                raise Undeliverable(
                    f"The stream of the answer broke {barren} times without bringing anything."
                )
            rest = await self._resume(reader)
            if rest is None:
                return
            response = rest

    async def _resume(self, reader: EventReader) -> IncomingResponse | None:
        """MCP, "Resumability and Redelivery"; None: there is no rest, and the request can be made
        again.
        """
        await trio.sleep(delay_of(reader))
        log.info("the stream ended before the answer: coming back for the rest")
        headers = [
            *ACCEPT_EVENT_STREAM,
            *self._transport.session.headers,
            (b"last-event-id", reader.last_id.encode("utf-8")),
        ]
        response = await self._transport.http.begin("GET", headers, repeatable=True)
        if is_stream(response):
            return response
        lost = (
            f"The connection broke, and the rest of the answer cannot be had"
            f" ({response.status}: {await self._transport.http.explain(response)})."
        )
        if not self.outgoing.repeatable:
            raise Undeliverable(lost, fix="See what the call has changed before you call again.")
        log.info("%s", lost)
        return None


def _messages_in(body: bytes) -> list[ServerMessage]:
    try:
        return read_messages(body)
    except msgspec.DecodeError:
        return []


def _names_no_request(message: ServerMessage) -> bool:
    return message.is_error and message.key in (b"", b"null")


def delay_of(reader: EventReader) -> float:
    """The seconds before a stream is taken up again."""
    if reader.retry_ms is None:
        return RETRY_S
    return min(max(reader.retry_ms / 1000, MIN_RETRY_S), MAX_RETRY_S)
