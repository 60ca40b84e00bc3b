"""One request and what came of it. Nothing is repeated, and every wait has a bound."""

import json
from enum import Enum
from typing import Any

import trio

from mcpd.doctor.seen import EVENT_STREAM, Seen, is_answer, read_json
from mcpd.errors import McpdError
from mcpd.http.client import Broken, HttpClient, IncomingResponse, NotConnected
from mcpd.http.event_reader import EventReader
from mcpd.version import __version__

ANSWER_S = 30.0  # for a whole answer
FIRST_EVENT_S = 3.0  # for what is sent at once, beyond the slowest answer so far
MAX_RESUMED = 10  # times that the stream of one answer is taken up again
RETRY_S, MIN_RETRY_S = 1.0, 0.1  # before that, if the server names no time, and whatever it names
MAX_BODY_BYTES = 4 * 1024 * 1024
NAME = "mcpd-doctor"
USER_AGENT = (b"user-agent", f"{NAME}/{__version__}".encode("ascii"))
ACCEPT = (b"accept", b"application/json, text/event-stream")

Pairs = list[tuple[bytes, bytes]]


class Until(Enum):
    """What of a response is waited for. Bodies that are no event stream are read to their end."""

    HEAD = "head"
    EVENT = "event"
    ANSWER = "answer"


class Prober:
    """Makes requests to one origin.

    Attributes:
        slowest_s: the seconds that the slowest answer so far took.
    """

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.slowest_s = 0.0

    @property
    def at_once_s(self) -> float:
        """The bound for what a server sends at once: slow servers are slow at that as well."""
        return FIRST_EVENT_S + min(self.slowest_s, ANSWER_S)

    async def post(
        self,
        target: str,
        body: dict[str, Any],
        headers: Pairs,
        *,
        until: Until = Until.ANSWER,
        limit_s: float = ANSWER_S,
    ) -> Seen:
        """Send a message and wait for what answers it; see ``send``."""
        sent = [(b"content-type", b"application/json"), ACCEPT, *headers]
        encoded = json.dumps(body).encode("utf-8")
        return await self.send(
            "POST", target, sent, encoded,
            request_id=body.get("id"), until=until, limit_s=limit_s,
        )  # fmt: skip

    async def send(
        self,
        method: str,
        target: str,
        headers: Pairs,
        body: bytes = b"",
        *,
        request_id: Any = None,
        until: Until = Until.ANSWER,
        limit_s: float = ANSWER_S,
    ) -> Seen:
        """Send a request; a server that says nothing is a fact as well.

        Args:
            limit_s: seconds for all of it.
        """
        began = trio.current_time()
        reading = _Reading(until, request_id)
        error = ""
        try:
            with trio.fail_after(limit_s):
                sent = [USER_AGENT, *headers]
                response = await self._client.begin(method, target, sent, body)
                async with response:
                    await reading.read(response)
                if method == "POST":
                    await self._resume(target, sent, reading)
        except trio.TooSlowError:
            error = reading.missing(f"within {limit_s:g} s")
        except (NotConnected, Broken) as broken:
            error = str(broken)
        except McpdError as refused:
            error = refused.message
        seconds = trio.current_time() - began
        if until is Until.ANSWER and not error:
            self.slowest_s = max(self.slowest_s, seconds)
        return reading.seen(error, seconds)

    async def _resume(self, target: str, headers: Pairs, reading: "_Reading") -> None:
        """A stream may end before the answer and be taken up again, as both SDKs do (MCP,
        "Resumability and Redelivery").
        """
        kept = [pair for pair in headers if pair[0] not in (b"accept", b"content-type")]
        for _ in range(MAX_RESUMED):
            if not reading.last_id:
                return
            await trio.sleep(reading.retry_s)
            sent = [
                *kept,
                (b"accept", EVENT_STREAM.encode("ascii")),
                (b"last-event-id", reading.last_id.encode("utf-8")),
                *(pair for pair in reading.session if pair not in kept),
            ]
            response = await self._client.begin("GET", target, sent)
            async with response:
                if response.header(b"content-type") != EVENT_STREAM:
                    return
                await reading.read_events(response)


class _Reading:
    """A response while it comes."""

    def __init__(self, until: Until, request_id: Any) -> None:
        self._until = until
        self._request_id = request_id
        self._status = 0
        self._fields: dict[str, str] = {}
        self._body = b""
        self._messages: list[Any] = []
        self._events = 0
        self._first_event = ""
        self._is_over = False
        self._reader = EventReader(MAX_BODY_BYTES)

    @property
    def last_id(self) -> str:
        """Where a stream that ended before the answer is taken up; empty: it is not."""
        unfinished = self._until is Until.ANSWER and self._is_over and not self._has_enough
        return self._reader.last_id if unfinished else ""

    @property
    def retry_s(self) -> float:
        """What the server asked for, within bounds."""
        asked_ms = self._reader.retry_ms
        return RETRY_S if asked_ms is None else min(max(asked_ms / 1000, MIN_RETRY_S), ANSWER_S)

    @property
    def session(self) -> Pairs:
        """The header of a session that the response began."""
        told = self._fields.get("mcp-session-id", "")
        return [(b"mcp-session-id", told.encode("latin-1"))] if told else []

    async def read(self, response: IncomingResponse) -> None:
        pairs = response.headers.items()
        self._fields = {n.decode("latin-1"): v.decode("latin-1") for n, v in pairs}
        self._status = response.status
        if not self._is_stream:
            self._body = await response.read(MAX_BODY_BYTES)
            return
        await self.read_events(response)

    async def read_events(self, response: IncomingResponse) -> None:
        """Until there is enough, or the stream ends."""
        while not self._has_enough:
            piece = await response.receive()
            if not piece:
                self._is_over = True
                return
            for event in self._reader.feed(piece):
                self._events += 1
                self._first_event = self._first_event or event.name
                if event.name == "message":
                    self._messages.append(read_json(event.data))

    @property
    def _is_stream(self) -> bool:
        return Seen(self._status, self._fields).is_stream

    @property
    def _has_enough(self) -> bool:
        if self._until is Until.EVENT:
            return self._events > 0
        return self._until is Until.HEAD or any(map(is_answer, self._messages))

    def missing(self, when: str) -> str:
        """What did not come."""
        if not self._status:
            return f"no answer {when}"
        if not self._is_stream:
            return f"the body of the answer did not end {when}"
        what = "answer" if self._until is Until.ANSWER else "event"
        return f"an event stream began, and no {what} came in it {when}"

    def seen(self, error: str, seconds: float) -> Seen:
        if not error and self._is_stream and self._is_over and not self._has_enough:
            what = "answer" if self._until is Until.ANSWER else "event"
            error = f"the event stream ended without an {what}"
        return Seen(
            self._status, self._fields, self._body.decode("utf-8", "replace"), error, seconds,
            tuple(self._messages), self._events, self._first_event, self._request_id,
        )  # fmt: skip
