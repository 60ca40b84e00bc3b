"""The client's part of a transcript: its requests, with what this server gave put into them."""

from collections.abc import Callable

import msgspec
import trio

from mcpd.errors import McpdError
from mcpd.http.client import Broken, HttpClient, NotConnected
from mcpd.replay.matching import Bindings, is_named
from mcpd.replay.outcome import NotOffered, Otherwise
from mcpd.replay.received import PlayedRequest, receive, what_came
from mcpd.replay.transcript import Entry

LEFT_OUT = ("accept-encoding",)  # nothing is compressed here
ENDED = (200, 202, 204)  # what DELETE may be answered with
SESSION, LAST_ID = "mcp-session-id", "last-event-id"
NO_EVENT_IDS = "the server gives events no ids, so no stream is resumed (optional)"
NO_SESSIONS = "the server has no sessions (optional)"
NO_DELETE = "the server does not let clients end sessions with DELETE (optional)"


class Sender:
    """Requests of one transcript to one server.

    Args:
        target: where this server has what the recorded one had at a target.
    """

    def __init__(
        self, client: HttpClient, bindings: Bindings, target: Callable[[str], str]
    ) -> None:
        self._client = client
        self._bindings = bindings
        self.target = target

    def start(self, nursery: trio.Nursery, entry: Entry) -> PlayedRequest:
        """Send a request; what comes of it arrives in what is returned.

        Raises:
            Unbound: the server did not give what the client has to send back.
            NotOffered: it need not have given that.
        """
        headers = self._headers(entry)
        sent, body = self._bindings.fill(entry.body), entry.text.encode("utf-8")
        if sent is not None:
            body = msgspec.json.encode(sent)
        exchange = PlayedRequest(sent)
        if entry.method == "DELETE" and self._is_unknown(entry.first(SESSION)):
            exchange.unmade = exchange.ended = True  # there is no session to be ended
            return exchange
        target = self.target(self._bindings.fill_text(entry.target))
        nursery.start_soon(self._carry, exchange, entry.method, target, headers, body)
        return exchange

    def _headers(self, entry: Entry) -> list[tuple[bytes, bytes]]:
        if self._is_unknown(entry.first(LAST_ID)):
            raise NotOffered(NO_EVENT_IDS)
        return [
            (name.encode("ascii"), self._bindings.fill_text(value).encode("latin-1", "replace"))
            for name, value in entry.fields
            if name not in LEFT_OUT
            and not (name == "authorization" and self._has_no_token(value))
            and not (name == SESSION and self._is_unknown(value))
        ]

    def _is_unknown(self, value: str | None) -> bool:
        """Whether it stands for what the server did not give."""
        return value is not None and is_named(value) and value not in self._bindings.values

    def _has_no_token(self, shown: str) -> bool:
        """A server that wants no token is shown none."""
        return "<token>" in shown and not self._bindings.values["<token>"]

    async def end_session(self, request: Entry) -> None:
        """Have the server lose the session of a request: as a server does that was restarted, seen
        from here.

        Raises:
            NotOffered: it has no sessions, or none that a client can end.
            Otherwise: it does not end the session.
        """
        if self._is_unknown(request.first(SESSION)):
            raise NotOffered(NO_SESSIONS)
        wanted = (SESSION, "mcp-protocol-version", "authorization")
        fields = [(name, value) for name, value in request.fields if name in wanted]
        headers = self._headers(Entry("request", request.number, fields=fields))
        ended = PlayedRequest()
        await self._carry(ended, "DELETE", self.target("/mcp/"), headers, b"")
        if ended.status == 405:
            raise NotOffered(NO_DELETE)
        if ended.status not in ENDED:
            raise Otherwise("a session that can be ended by DELETE", what_came(ended))

    async def _carry(
        self,
        exchange: PlayedRequest,
        method: str,
        target: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
    ) -> None:
        with exchange.scope:
            try:
                response = await self._client.begin(method, target, headers, body)
                async with response:
                    await receive(exchange, response)
            except (NotConnected, Broken) as error:
                exchange.broken = str(error)
                exchange.never_connected = isinstance(error, NotConnected)
            except McpdError as error:
                exchange.broken = error.message
            exchange.ended = True
            exchange.news()
