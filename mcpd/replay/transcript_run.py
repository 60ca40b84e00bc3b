"""One transcript against one server: sends what the client sent, when it did, and compares.

Before a request goes out, everything that the transcript has before it must have come; what the
client had under way at once is under way at once here.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import trio

from mcpd.errors import McpdError
from mcpd.http.client import Broken, HttpClient, NotConnected
from mcpd.replay.capabilities import Capabilities
from mcpd.replay.invariants import faults
from mcpd.replay.matching import Bindings, Unbound, differences, is_same_kind
from mcpd.replay.outcome import Mismatch
from mcpd.replay.received import (
    PlayedRequest,
    ReceivedMessage,
    receive,
    speaks_mcp,
    summary,
    what_came,
)
from mcpd.replay.specification import reference
from mcpd.replay.transcript import Entry, Transcript

PAUSE_S = {"": 0.0, "soon": 0.3, "later": 1.0, "late": 3.0}  # before a request of this timing
PATIENCE_S = {"": 10.0, "soon": 10.0, "later": 20.0, "late": 60.0}  # for what comes
SETTLE_S = 0.5  # for streams to end whose answer has come
WELL_FORMED = "answers as JSON-RPC and MCP have them"
HUNG_UP_S = 1.0  # for what comes before the client hangs up
LEFT_OUT = ("accept-encoding",)  # nothing is compressed here


class _Otherwise(Exception):
    def __init__(self, expected: str, got: str) -> None:
        super().__init__(got)
        self.expected = expected
        self.got = got


class TranscriptRun:
    """One transcript on its way, entry by entry.

    Args:
        target: where this server has what the recorded one had at a target.
    """

    def __init__(
        self,
        client: HttpClient,
        transcript: Transcript,
        bindings: Bindings,
        target: Callable[[str], str],
    ) -> None:
        self._client = client
        self._transcript = transcript
        self._bindings = bindings
        self._target = target
        self._exchanges: dict[int, PlayedRequest] = {}
        self._capabilities = Capabilities()
        entries = transcript.entries
        self._unsure = _unsure(entries)
        self._closed: set[int] = set()

    async def walk(self, nursery: trio.Nursery) -> Mismatch | None:
        """To the end, or to the first mismatch."""
        for entry in self._transcript.entries:
            request = self._transcript.request(entry.number)
            try:
                await self._step(nursery, entry, request)
            except Unbound as error:
                told = f"{error} from the server, to send it back"
                return self._mismatch(entry, request, told, "the server gave none")
            except _Otherwise as error:
                return self._mismatch(entry, request, error.expected, error.got)
            except ValueError as error:  # lone surrogates, an endpoint that is no URL
                return self._mismatch(entry, request, "values that can be sent back", str(error))
        return await self._faults()

    async def _step(self, nursery: trio.Nursery, entry: Entry, request: Entry) -> None:
        if entry.kind == "request":
            await trio.sleep(PAUSE_S[entry.timing])
            self._start(nursery, entry)
        elif entry.kind == "forget":
            await self._make_forget(request)
        elif entry.kind == "close":
            self._closed.add(entry.number)
            self._exchanges[entry.number].scope.cancel()
        elif entry.number in self._closed:
            return  # the client did not see it either
        elif entry.number in self._unsure:
            await self._expect_if_it_comes(entry, request)
        else:
            await self._expect(entry, request)

    async def _expect_if_it_comes(self, entry: Entry, request: Entry) -> None:
        """The client hung up before anything was said: a server may not have come to it yet."""
        try:
            await self._expect(entry, request)
        except _Otherwise:
            if self._exchanges[entry.number].status:
                raise

    async def _faults(self) -> Mismatch | None:
        """What holds always, whatever was expected."""
        with trio.move_on_after(SETTLE_S):
            for exchange in self._exchanges.values():
                while exchange.answered and not exchange.ended:
                    await exchange.changed.wait()
        for number, exchange in self._exchanges.items():
            if found := list(faults(exchange)):
                request = self._transcript.request(number)
                return self._mismatch(request, request, WELL_FORMED, "; ".join(found[:5]))
        return None

    def _mismatch(self, entry: Entry, request: Entry, expected: str, got: str) -> Mismatch:
        said = summary(request.body) if request.body is not None else request.text[:80]
        shown = f"{request.method} {request.target} {said}".strip()
        see = reference(request, entry)
        exchange = self._exchanges.get(entry.number)  # None: the request could not be made
        if exchange is not None and exchange.never_connected:
            see = "is the server running, and the URL right?"
        return Mismatch.of(entry.line, shown, expected, got, see)

    # --- the client's part --------------------------------------------------------------------

    def _start(self, nursery: trio.Nursery, entry: Entry) -> None:
        fill = self._bindings.fill_text
        headers = [
            (name.encode("ascii"), fill(value).encode("latin-1", "replace"))
            for name, value in entry.fields
            if name not in LEFT_OUT and not (name == "authorization" and self._has_no_token(value))
        ]
        sent, body = self._bindings.fill(entry.body), entry.text.encode("utf-8")
        if sent is not None:
            body = msgspec.json.encode(sent)
        exchange = self._exchanges[entry.number] = PlayedRequest(sent)
        target = self._target(fill(entry.target))
        nursery.start_soon(self._carry, exchange, entry.method, target, headers, body)

    def _has_no_token(self, shown: str) -> bool:
        """A server that wants no token is shown none."""
        return "<token>" in shown and not self._bindings.values["<token>"]

    async def _make_forget(self, request: Entry) -> None:
        """Have the server lose a session: as a server does that was restarted, seen from here."""
        wanted = ("mcp-session-id", "mcp-protocol-version", "authorization")
        fill = self._bindings.fill_text
        headers = [
            (name.encode("ascii"), fill(value).encode("latin-1"))
            for name, value in request.fields
            if name in wanted and not self._has_no_token(value)
        ]
        ended = PlayedRequest()
        await self._carry(ended, "DELETE", self._target("/mcp/"), headers, b"")
        if ended.status not in (200, 202, 204):
            raise _Otherwise("a session that can be ended by DELETE", what_came(ended))

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

    # --- the server's part --------------------------------------------------------------------

    async def _expect(self, entry: Entry, request: Entry) -> None:
        exchange = self._exchanges[entry.number]
        if exchange.status == 405 and entry.kind != "response":
            if entry.kind == "end":
                return
            raise _Otherwise(summary(entry.body), "no stream to send it on: GET is answered 405")
        if entry.kind == "response":
            await self._expect_head(exchange, entry)
            if speaks_mcp(entry.body):
                await self._expect_messages(exchange, entry, request)
        elif entry.kind == "event":
            await self._expect_event(exchange, entry, request)
        elif entry.kind == "end" and request.method == "POST" and exchange.answered:
            await self._wait(exchange, entry, lambda: exchange.ended, "the end of the stream")

    async def _expect_head(self, exchange: PlayedRequest, entry: Entry) -> None:
        expected = "|".join(map(str, entry.statuses))
        await self._wait(exchange, entry, lambda: exchange.status or exchange.ended, expected)
        if exchange.status not in entry.statuses:
            said = " ".join(exchange.text[:200].decode("utf-8", "replace").split())
            raise _Otherwise(expected, f"{exchange.status or what_came(exchange)} {said}".strip())
        for name, value in entry.fields:
            self._expect_field(exchange, name, value)

    def _expect_field(self, exchange: PlayedRequest, name: str, expected: str) -> None:
        got = exchange.fields.get(name)
        if name == "mcp-session-id" and got is not None:  # a server need not give one
            if not self._bindings.match_text(expected, got):
                raise _Otherwise(f"{name}: {expected}", f"another one: {got}")
            return
        scheme = expected.split(" ")[0].lower()
        if name == "www-authenticate" and (got or "").split(" ")[0].lower() != scheme:
            raise _Otherwise(f"{name}: {scheme} ...", f"{name}: {got}")

    async def _expect_event(self, exchange: PlayedRequest, entry: Entry, request: Entry) -> None:
        if entry.first("event") == "endpoint":
            await self._wait(exchange, entry, lambda: exchange.endpoint, "an event endpoint")
            self._bind_endpoint(entry, exchange.endpoint)
            return
        shown, event_id = entry.first("id"), ""
        if entry.body is not None:
            event_id = await self._expect_messages(exchange, entry, request)
        elif shown is not None:
            await self._wait(exchange, entry, exchange.first_id, "an event with an id")
            event_id = exchange.first_id()
        if shown is not None and event_id:
            self._bindings.values[shown] = event_id

    def _bind_endpoint(self, entry: Entry, endpoint: str) -> None:
        """Where this server wants messages, in the place of where the recorded one did."""
        here = urlsplit(endpoint)
        recorded = entry.text or "/messages/"
        path = here.path + (f"?{here.query}" if here.query else "")
        for other in self._transcript.entries:
            if other.kind == "request" and other.target == recorded:
                other.target = path

    async def _expect_messages(self, exchange: PlayedRequest, entry: Entry, request: Entry) -> str:
        """Each message of the entry; returns the id of the event of the last one."""
        event_id = ""
        for expected in entry.body if isinstance(entry.body, list) else [entry.body]:
            event_id = await self._expect_message(exchange, entry, request, expected)
        return event_id

    async def _expect_message(
        self, exchange: PlayedRequest, entry: Entry, request: Entry, expected: Any
    ) -> str:
        """The message, among others; returns the id of its event."""
        found: list[ReceivedMessage] = []

        def is_there() -> bool:
            for place, received in enumerate(exchange.messages):
                trial = Bindings(dict(self._bindings.values))
                if is_same_kind(expected, received.message, trial):
                    found.append(received)
                    del exchange.messages[place]
                    return True
            return False

        await self._wait(exchange, entry, is_there, summary(expected))
        message = found[0].message
        exchange.answered = exchange.answered or "method" not in message
        self._capabilities.note(message)
        if self._capabilities.may_refuse(request.body, message):
            return found[0].event_id
        different = differences(expected, message, self._bindings)
        if different:
            raise _Otherwise(summary(expected), "; ".join(different[:5]))
        return found[0].event_id

    async def _wait(
        self, exchange: PlayedRequest, entry: Entry, is_there: Any, expected: str
    ) -> None:
        limit_s = HUNG_UP_S if entry.number in self._unsure else PATIENCE_S[entry.timing]
        with trio.move_on_after(limit_s):
            while not is_there():
                if exchange.ended:
                    raise _Otherwise(expected, what_came(exchange))
                await exchange.changed.wait()
            return
        raise _Otherwise(expected, f"nothing within {limit_s:g} s; before, {what_came(exchange)}")


def _unsure(entries: list[Entry]) -> set[int]:
    """Requests that the client left before a message came; a stream that it opened with GET has
    a head at once.
    """
    left, heard = set(), {e.number for e in entries if e.kind == "request" and e.method == "GET"}
    for entry in entries:
        if entry.kind in ("event", "end") or (entry.kind == "response" and entry.body is not None):
            heard.add(entry.number)
        elif entry.kind == "close" and entry.number not in heard:
            left.add(entry.number)
    return left
