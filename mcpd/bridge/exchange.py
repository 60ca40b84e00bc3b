"""One request of the client, until it is answered: the way there, the way back, and what to do
when either breaks.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from mcpd.bridge import refusals
from mcpd.bridge.messages import Arrived, Line, id_key
from mcpd.bridge.old_sse import OldSse
from mcpd.bridge.patience import Undeliverable
from mcpd.bridge.reading import (
    ACCEPT_STREAM,
    LINGER_S,
    POSTED,
    is_stream,
    new_reader,
    read_body,
    read_events,
    read_quietly,
)
from mcpd.bridge.refusals import is_gone, refused, says_why
from mcpd.bridge.session import Session
from mcpd.errors import InternalError, McpdError
from mcpd.http.client import Broken, IncomingResponse
from mcpd.http.event_reader import EventReader
from mcpd.rpc.messages import Call, encode_error

log = logging.getLogger("mcpd.bridge")

MIN_RETRY_S = 0.1  # whatever the server names
RETRY_S = 1.0  # before a stream is taken up again, if the server names no time
MAX_RETRY_S = 60.0  # whatever it names
MAX_BARREN = 10  # connections in a row that bring nothing
MAX_AGAIN = 2  # times that a request is sent again when its stream ended without an answer
CANCEL_S = 5.0  # for the server to end a request that was cancelled
LISTEN = "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"

Pairs = list[tuple[bytes, bytes]]


class Ways(refusals.Ways, Protocol):
    """What an exchange needs of the bridge."""

    @property
    def session(self) -> Session: ...
    @property
    def old(self) -> OldSse | None: ...
    async def take(self, body: bytes, *, answers: "Exchange | None" = None) -> bool: ...


class Exchange:
    """A request, or a batch of them.

    Attributes:
        waiting: ids that have no answer yet: their one form → as they were written.
        mirrored: the headers of a request of the modern era; None: of the handshake era.
        done: set when nothing is waited for any more.
    """

    def __init__(self, ways: Ways, line: Line, mirrored: Pairs | None) -> None:
        self.line = line
        self.mirrored = mirrored
        self.waiting = {id_key(call.id): call.id for call in line.calls}
        self.scope = trio.CancelScope()
        self.cancelled = False
        self.done = trio.Event()
        self.response: IncomingResponse | None = None
        self._ways = ways
        self._heard = 0  # messages that came
        self._acknowledged = False

    @property
    def is_initialize(self) -> bool:
        """Whether it begins a session."""
        return self.mirrored is None and self.line.calls[0].method == "initialize"

    @property
    def body(self) -> bytes:
        """As it is sent."""
        return self.line.body

    def call_of(self, key: bytes) -> Call | None:
        """The request behind an id."""
        return next((call for call in self.line.calls if id_key(call.id) == key), None)

    def heard(self, arrived: Arrived) -> bool:
        """Something came for it; False: the client has that already."""
        self._heard += 1
        if arrived.key is not None:
            return self.waiting.pop(arrived.key, None) is not None
        repeated = arrived.method == ACKNOWLEDGED and self._acknowledged
        self._acknowledged = self._acknowledged or arrived.method == ACKNOWLEDGED
        return not repeated

    def told(self) -> None:
        """What was heard has reached the client; the last answer ends the exchange, however it
        came.
        """
        if not self.waiting:
            self.done.set()
            self.scope.deadline = trio.current_time() + LINGER_S

    def cancel(self, key: bytes) -> None:
        """The client waits no more for one of its requests; when it was the last, for none. In the
        modern era closing the connection tells the server
        (2026-07-28, "Cancellation"); before, a notification did, and it may still answer.
        """
        self.waiting.pop(key, None)
        if self.waiting:
            return
        self.cancelled = True
        self.done.set()
        if self.mirrored is not None:
            self.scope.cancel()
        else:
            self.scope.deadline = trio.current_time() + CANCEL_S

    async def run(self, turn: Callable[[], Awaitable[None]]) -> None:
        """Carry it there when it is its turn, and everything that comes back to the client;
        without an answer the client gets an error that says why.
        """
        try:
            with self.scope:
                await turn()
                await self._deliver()
        except McpdError as error:
            log.warning("%s: %s", self.line.calls[0].method, error.message)
            await self._fail(error)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise  # the client has gone
        except Exception:  # a bug here is no reason to leave the client without an answer
            log.exception("%s failed", self.line.calls[0].method)
            await self._fail(InternalError("A fault of the bridge; its log has it."))
        finally:
            self.waiting.clear()
            self.done.set()

    async def _fail(self, error: McpdError) -> None:
        for request_id in list(self.waiting.values()):
            await self._ways.emit(encode_error(request_id, error))

    async def _deliver(self) -> None:
        renewed, again = False, 0
        while self.waiting and not self.cancelled:
            if self._ways.old is not None:
                await self._ways.old.exchange(self)
                return
            await self._ways.session.settled()
            number = self._ways.session.number
            known = self.mirrored is None and not self.is_initialize
            known = known and self._ways.session.is_there
            response = await self._ways.upstream.begin(
                "POST", self._headers(), self.line.body, repeatable=self.line.repeatable
            )
            if response.status not in (200, 202, 204):
                body = await read_quietly(response)
                if known and not renewed and is_gone(response.status, body):
                    await self._ways.session.renew(number)
                    renewed = True
                else:
                    await refused(self._ways, self, response.status, body)
                continue
            await self._take(response)
            if self.waiting and not self.cancelled:
                again += 1
                await self._pause_before_again(again)

    def _headers(self) -> Pairs:
        if self.mirrored is not None:
            return [*POSTED, *self.mirrored]
        return [*POSTED, *([] if self.is_initialize else self._ways.session.headers)]

    async def _pause_before_again(self, again: int) -> None:
        """The connection ended before the answer, and there is nothing to come back to. A stream
        of changes has no answer: it is begun as often as it ends, a little later each time.
        """
        listens = self.line.calls[0].method == LISTEN
        if not self.line.repeatable or (again > MAX_AGAIN and not listens):
            raise Undeliverable(
                "The connection ended before the answer. It is not known whether the call was"
                " carried out.",
                fix="See what it has changed before you call again.",
            )
        await trio.sleep(min(again * RETRY_S, MAX_RETRY_S))

    # --- what comes back ----------------------------------------------------------------------

    async def _take(self, response: IncomingResponse) -> None:
        self.response = response
        if response.status != 200:
            async with response:
                if not self.cancelled:
                    raise Undeliverable(
                        f"The server answers {response.status}, and so will not answer the request."
                    )
            self.waiting.clear()
        elif is_stream(response):
            await self._follow(response)
        else:
            await self._answer(response)

    async def _answer(self, response: IncomingResponse) -> None:
        try:
            body = await read_body(response)
        except Broken:
            return  # ``_deliver`` knows what then
        if not await self._ways.take(body, answers=self):
            kind = response.header(b"content-type") or "no content type"
            raise Undeliverable(
                f"The server answers with something that is no MCP ({kind}).",
                fix="Is the URL that of the MCP endpoint?",
            )
        if self.waiting and not await says_why(self._ways, self, body):
            raise Undeliverable("The server's answer answers another request.")

    async def _follow(self, response: IncomingResponse) -> None:
        reader, barren = new_reader(), 0

        async def take(body: bytes) -> None:
            await self._ways.take(body, answers=self)

        while True:
            heard = self._heard
            await read_events(response, reader, take)
            if not self.waiting or self.cancelled or not reader.last_id:
                return
            barren = barren + 1 if self._heard == heard else 0
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
            *ACCEPT_STREAM,
            *self._ways.session.headers,
            (b"last-event-id", reader.last_id.encode("utf-8")),
        ]
        response = await self._ways.upstream.begin("GET", headers, repeatable=True)
        if is_stream(response):
            return response
        lost = (
            f"The connection broke, and the rest of the answer cannot be had"
            f" ({response.status}: {await self._ways.upstream.explain(response)})."
        )
        if not self.line.repeatable:
            raise Undeliverable(lost, fix="See what the call has changed before you call again.")
        log.info("%s", lost)
        return None


def delay_of(reader: EventReader) -> float:
    """The seconds before a stream is taken up again."""
    if reader.retry_ms is None:
        return RETRY_S
    return min(max(reader.retry_ms / 1000, MIN_RETRY_S), MAX_RETRY_S)
