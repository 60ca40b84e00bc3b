"""One server, as its client sees it: a session that is begun again when the server forgot it,
requests that are answered once, notifications, and what the server says of its own accord.

``emit`` gets every message for the caller, as bytes of one line. Nothing here knows where they go.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import trio

from mcpd.client.exchange import Exchange, Transport
from mcpd.client.http_sse import Fallback
from mcpd.client.http_transport import HttpTransport
from mcpd.client.listening import listen
from mcpd.client.messages import (
    Outgoing,
    ServerMessage,
    id_key,
    number_in,
    read_messages,
)
from mcpd.client.mirroring import ParameterMirrors
from mcpd.client.pending import Emit
from mcpd.client.responses import POST_HEADERS, read_quietly
from mcpd.client.session import ClientSession, session_id_of
from mcpd.errors import McpdError
from mcpd.rpc.messages import Notification

log = logging.getLogger("mcpd.client")

TAKEN_S = 10.0  # for the server to say that it took what wants no answer


class Client:
    """A client of one server.

    Attributes:
        exchanges: those under way, by the one form of each request's id.
    """

    def __init__(self, http: HttpTransport, emit: Emit) -> None:
        self.http = http
        self.session = ClientSession(http, self._receive_beside)
        self.fallback = Fallback(http, self._receive_beside)
        self.exchanges: dict[bytes, Exchange] = {}
        self._emit = emit
        self._mirrors = ParameterMirrors()
        self._transport = Transport(http, self.session, self.fallback, self._receive)

    async def listen(self, nursery: trio.Nursery) -> None:
        """Hear what the server says of its own accord, for ever.

        Args:
            nursery: for streams; it lives as long as the client.
        """
        self.fallback.nursery = nursery
        await listen(self.http, self.session, self._receive_beside)

    # --- requests -------------------------------------------------------------------------------

    def begin(self, outgoing: Outgoing, emit: Emit | None = None) -> Exchange:
        """An exchange for requests whose ids are not in use; ``run`` carries it out.

        Args:
            emit: gets its answers and what comes on its streams; None: the client's own.
        """
        mirrored = None
        if len(outgoing.calls) == 1:
            mirrored = self._mirrors.headers(outgoing.calls[0])
        exchange = Exchange(self._transport, outgoing, mirrored, emit or self._emit)
        self.exchanges.update(dict.fromkeys(exchange.pending.waiting, exchange))
        return exchange

    async def run(self, exchange: Exchange, wait_turn: Callable[[], Awaitable[None]]) -> None:
        """Carry an exchange out; see ``Exchange.run``."""
        try:
            await exchange.run(partial(self._wait_turn, exchange, wait_turn))
        finally:
            for key in keys_of(exchange.outgoing):  # also those that were cancelled meanwhile
                self.exchanges.pop(key, None)

    async def _wait_turn(
        self, exchange: Exchange, wait_turn: Callable[[], Awaitable[None]]
    ) -> None:
        await wait_turn()
        if exchange.is_initialize:
            self.session.forget()

    # --- notifications and responses ------------------------------------------------------------

    async def post(self, outgoing: Outgoing) -> None:
        """Send what wants no answer. A server that does not take it holds up nothing else."""
        with trio.move_on_after(self.http.wait_s + TAKEN_S) as scope:
            try:
                await self._post(outgoing)
            except McpdError as error:
                log.warning("a message is lost: %s", error.message)
        if scope.cancelled_caught:
            log.warning("a message may be lost: the server said nothing to it")

    async def _post(self, outgoing: Outgoing) -> None:
        if self.fallback.stream is not None:
            await self.fallback.stream.post(outgoing.body)
            return
        message = outgoing.messages[0]
        modern = self._mirrors.headers(message) if isinstance(message, Notification) else None
        headers = self.session.headers if modern is None else modern
        response = await self.http.begin(
            "POST", [*POST_HEADERS, *headers], outgoing.body, repeatable=True
        )
        if response.status >= 400:
            words = await self.http.explain(response)
            log.warning("a message was refused: %d %s", response.status, words)
        else:
            await read_quietly(response)

    async def confirm(self, outgoing: Outgoing) -> None:
        """Send ``notifications/initialized``, if there is a session to be confirmed."""
        if not self.session.is_agreed:
            return
        await self.post(outgoing)
        if self.fallback.stream is None and self.session.is_agreed:
            self.session.confirm()

    async def end_session(self) -> None:
        """Tell the server that the session is over; what it says to that does not matter."""
        if not self.session.is_there or self.fallback.stream is not None:
            return
        try:
            gone = await self.http.begin("DELETE", self.session.headers, repeatable=True)
            await read_quietly(gone)
        except McpdError:
            return

    # --- from the server ------------------------------------------------------------------------

    async def _receive_beside(self, body: bytes) -> None:
        """Messages that came beside every exchange."""
        await self._receive(body, None)

    async def _receive(self, body: bytes, stream: Exchange | None) -> bool:
        try:
            messages = read_messages(body)
        except msgspec.DecodeError:
            log.warning("the server sent something that is no message")
            return False
        for message in messages:
            await self._pass_on(message, stream)
        return True

    async def _pass_on(self, message: ServerMessage, stream: Exchange | None) -> None:
        if message.key is None:
            if stream is None:
                await self._emit(message.line)
            elif stream.pending.is_news(message):
                await stream.pending.emit(message.line)
            return
        key = message.key
        exchange = self.exchanges.get(key) or self.exchanges.get(number_in(key) or key)
        if exchange is not None:
            message = exchange.pending.as_asked(message)
        if exchange is None or message.key not in exchange.pending.waiting:
            log.info("an answer that is not waited for is dropped")
            return
        self._learn(exchange, message)
        await exchange.pending.settle(message.key, message.line)

    def _learn(self, exchange: Exchange, message: ServerMessage) -> None:
        call = exchange.pending.call_of(message.key or b"")
        if call is None or message.is_error:
            return
        if call.method == "initialize":
            response = exchange.response  # HTTP+SSE has none: its session is its stream
            session_id = "" if response is None else session_id_of(response)
            self.session.agree(call, session_id, message.result)
        elif call.method == "tools/list":
            self._mirrors.learn(message.result)
        else:
            self.session.keep(call)


def keys_of(outgoing: Outgoing) -> list[bytes]:
    """The one form of each request's id."""
    return [id_key(call.id) for call in outgoing.calls]
