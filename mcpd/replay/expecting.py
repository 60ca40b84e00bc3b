"""The server's part of a transcript: waits for what has to come, and compares."""

import re
from collections.abc import Callable
from typing import Any

import trio

from mcpd.client.redirects import target_at
from mcpd.replay.capabilities import Capabilities
from mcpd.replay.matching import Bindings, differences, is_same_kind
from mcpd.replay.outcome import NotOffered, Otherwise
from mcpd.replay.received import (
    PlayedRequest,
    ReceivedMessage,
    speaks_mcp,
    summary,
    what_came,
)
from mcpd.replay.scrub import read_json
from mcpd.replay.sending import LAST_ID, NO_EVENT_IDS, NO_SESSIONS, SESSION
from mcpd.replay.transcript import Entry, Transcript

PATIENCE_S = {"": 10.0, "soon": 10.0, "later": 20.0, "late": 60.0}  # for what comes
HUNG_UP_S = 1.0  # for what comes before the client hangs up
NO_RESUMPTION = "the server resumes no streams (optional)"
_REVISION = re.compile(r"\d{4}-\d\d-\d\d")
OTHER_REVISION = "the server answers initialize with another revision (it need not know all)"


class Expectations:
    """What the server of one transcript has to say.

    Args:
        unsure: requests that the client left before anything came.
        base: the URL at this server of what the recorded one had at a target.
    """

    def __init__(
        self,
        transcript: Transcript,
        bindings: Bindings,
        unsure: set[int],
        base: Callable[[str], str],
    ) -> None:
        self._transcript = transcript
        self._bindings = bindings
        self._unsure = unsure
        self._base = base
        self._capabilities = Capabilities()
        self._has_sessions: bool | None = None  # None: initialize was not answered yet
        self._resumed_from = {e.first(LAST_ID) for e in transcript.entries if e.kind == "request"}

    async def expect(self, exchange: PlayedRequest, entry: Entry, request: Entry) -> None:
        """Wait for one entry.

        Raises:
            Otherwise: something else came, or nothing.
            NotOffered: what has to come is optional, and this server has it not.
        """
        if exchange.unmade:
            return
        if exchange.status == 405 and entry.kind != "response":
            if entry.kind == "end":
                return
            if request.first(LAST_ID) is not None:
                raise NotOffered(NO_RESUMPTION)
            raise Otherwise(summary(entry.body), "no stream to send it on: GET is answered 405")
        if entry.kind == "response":
            await self._expect_head(exchange, entry, request)
            if speaks_mcp(entry.body):
                await self._expect_messages(exchange, entry, request)
            elif entry.body is not None and not exchange.streams:
                # OAuth's: only what the client sends back of it counts
                await self._wait(exchange, entry, lambda: exchange.ended, "the end of the body")
                differences(entry.body, read_json(exchange.text), self._bindings)
        elif entry.kind == "event":
            await self._expect_event(exchange, entry, request)
        elif entry.kind == "end" and request.method == "POST" and exchange.answered:
            await self._wait(exchange, entry, lambda: exchange.ended, "the end of the stream")

    async def _expect_head(self, exchange: PlayedRequest, entry: Entry, request: Entry) -> None:
        expected = "|".join(map(str, entry.statuses))
        await self._wait(exchange, entry, lambda: exchange.status or exchange.ended, expected)
        if exchange.status not in entry.statuses and not _is_probe(exchange, request):
            if exchange.status == 405 and request.first(LAST_ID) is not None:
                raise NotOffered(NO_RESUMPTION)
            if 404 in entry.statuses and request.first(SESSION) and self._has_sessions is False:
                raise NotOffered(NO_SESSIONS)
            said = " ".join(exchange.text[:200].decode("utf-8", "replace").split())
            raise Otherwise(expected, f"{exchange.status or what_came(exchange)} {said}".strip())
        for name, value in entry.fields:
            self._expect_field(exchange, name, value)

    def _expect_field(self, exchange: PlayedRequest, name: str, expected: str) -> None:
        got = exchange.fields.get(name)
        if name == "mcp-session-id" and got is not None:  # a server need not give one
            if not self._bindings.match_text(expected, got):
                raise Otherwise(f"{name}: {expected}", f"another one: {got}")
            return
        scheme = expected.split(" ")[0].lower()
        if name == "www-authenticate" and (got or "").split(" ")[0].lower() != scheme:
            raise Otherwise(f"{name}: {scheme} ...", f"{name}: {got}")

    async def _expect_event(self, exchange: PlayedRequest, entry: Entry, request: Entry) -> None:
        if entry.first("event") == "endpoint":
            await self._wait(exchange, entry, lambda: exchange.endpoint, "an event endpoint")
            self._bind_endpoint(entry, exchange.endpoint)
            return
        shown, event_id = entry.first("id"), ""
        if entry.body is not None:
            event_id = await self._expect_messages(exchange, entry, request)
        elif shown in self._resumed_from:
            event_id = await self._wait_for_id(exchange, entry)
        else:
            event_id = exchange.first_id()
        if shown is not None and event_id:
            self._bindings.values[shown] = event_id

    async def _wait_for_id(self, exchange: PlayedRequest, entry: Entry) -> str:
        """The id that the client comes back with. An answer without one, or the end, says that
        there are none.
        """

        def is_told() -> bool:
            answered = any("method" not in m for m in exchange.seen if isinstance(m, dict))
            return bool(exchange.first_id()) or answered or exchange.ended

        await self._wait(exchange, entry, is_told, "an event with an id")
        if not exchange.first_id() and exchange.seen:
            raise NotOffered(NO_EVENT_IDS)
        if not exchange.first_id():
            raise Otherwise("an event with an id, or an answer", what_came(exchange))
        return exchange.first_id()

    def _bind_endpoint(self, entry: Entry, endpoint: str) -> None:
        """Where this server wants messages, in the place of where the recorded one did."""
        request = self._transcript.request(entry.number)
        path = target_at(self._base(request.target), endpoint)
        if path is None:
            raise Otherwise("an event endpoint of the same origin", f"the endpoint {endpoint}")
        recorded = entry.text or "/messages/"
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
        self._note_session(exchange, request, expected, message)
        exchange.answered = exchange.answered or "method" not in message
        self._capabilities.note(message)
        if self._capabilities.may_refuse(request.body, message):
            return found[0].event_id
        different = differences(expected, message, self._bindings)
        if different:
            raise Otherwise(summary(expected), "; ".join(different[:5]))
        return found[0].event_id

    def _note_session(
        self, exchange: PlayedRequest, request: Entry, expected: Any, message: Any
    ) -> None:
        """What the answer to ``initialize`` says of sessions, and of the revision."""
        if not isinstance(request.body, dict) or request.body.get("method") != "initialize":
            return
        told, wanted = _revision(message), _revision(expected)
        if told and wanted:
            self._has_sessions = SESSION in exchange.fields
            if told != wanted:
                raise NotOffered(f"{OTHER_REVISION}: {told} for {wanted}")

    async def _wait(
        self, exchange: PlayedRequest, entry: Entry, is_there: Any, expected: str
    ) -> None:
        limit_s = HUNG_UP_S if entry.number in self._unsure else PATIENCE_S[entry.timing]
        with trio.move_on_after(limit_s):
            while not is_there():
                if exchange.ended:
                    raise Otherwise(expected, what_came(exchange))
                await exchange.changed.wait()
            return
        raise Otherwise(expected, f"nothing within {limit_s:g} s; before, {what_came(exchange)}")


def _is_probe(exchange: PlayedRequest, request: Entry) -> bool:
    """Whether a client only looked for an authorization server. What a server says to that is its
    own: it may have none, redirect every path that it does not know, or register the client.
    """
    probes = "/.well-known/" in request.target or request.target.startswith("/register")
    return probes and 200 <= exchange.status < 500


def _revision(message: Any) -> str:
    """The one that an answer to ``initialize`` names; empty: none that there could be."""
    result = message.get("result") if isinstance(message, dict) else None
    version = result.get("protocolVersion") if isinstance(result, dict) else None
    return version if isinstance(version, str) and _REVISION.fullmatch(version) else ""
