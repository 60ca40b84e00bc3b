"""One request and what came of it. Nothing is repeated, and every wait has a bound."""

import json
from enum import Enum
from typing import Any

import trio

from mcpd.doctor.seen import Seen, is_answer, read_json
from mcpd.errors import McpdError
from mcpd.http.client import Broken, HttpClient, IncomingResponse, NotConnected
from mcpd.http.event_reader import EventReader
from mcpd.version import __version__

ANSWER_S = 30.0  # for a whole answer
FIRST_EVENT_S = 3.0  # for what is sent at once, beyond the slowest answer so far
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

    async def read(self, response: IncomingResponse) -> None:
        pairs = response.headers.items()
        self._fields = {n.decode("latin-1"): v.decode("latin-1") for n, v in pairs}
        self._status = response.status
        if not self._is_stream:
            self._body = await response.read(MAX_BODY_BYTES)
            self._is_over = True
            return
        reader = EventReader(MAX_BODY_BYTES)
        while not self._has_enough:
            piece = await response.receive()
            if not piece:
                self._is_over = True
                return
            for event in reader.feed(piece):
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
