"""The requests that clients make when they connect, made once, and what came of them: facts."""

import email.utils
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import trio

from mcpd.client.requests import initialize, modern
from mcpd.errors import McpdError
from mcpd.http.client import Broken, HttpClient, IncomingResponse, NotConnected
from mcpd.http.event_reader import EventReader
from mcpd.version import __version__

ANSWER_S = 6.0  # for a response
FIRST_ANSWER_S = 30.0  # for the first: servers that sleep are woken by it
FIRST_EVENT_S = 3.0  # for an event that is sent at once
ONLY_HEAD_S = 0.5  # for the answer in a stream where none needs to come
MAX_BODY_BYTES = 4 * 1024 * 1024
HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"
NAME = "mcpd-doctor"
HELLO = initialize(NAME, HANDSHAKE)
WELL_KNOWN = ("oauth-protected-resource", "oauth-authorization-server", "openid-configuration")

Pairs = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A response, or why there is none."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    text: str = ""
    error: str = ""
    seconds: float = 0.0
    events: int = 0
    first_event: str = ""  # its name

    @property
    def json(self) -> Any:
        """The body; None if it is no JSON."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None

    @property
    def is_stream(self) -> bool:
        """Whether events come."""
        return self.status == 200 and "text/event-stream" in self.fields.get("content-type", "")

    @property
    def result(self) -> dict[str, Any]:
        """Of a JSON-RPC answer; empty: it is none."""
        body = self.json
        result = body.get("result") if isinstance(body, dict) else None
        return result if isinstance(result, dict) else {}

    @property
    def says(self) -> str:
        """What an error says, in one line."""
        body = self.json
        if isinstance(body, dict):
            error = body.get("error")
            told = error.get("message") if isinstance(error, dict) else None
            told = told or body.get("error_description") or error
            if isinstance(told, str):
                return told[:300]
        return self.error or " ".join(re.sub(r"<[^>]*>", " ", self.text).split())[:120]


@dataclass(slots=True)
class Facts:
    """Everything that was seen."""

    url: str
    had_token: bool
    initialize: Seen = field(default_factory=Seen)
    initialized: Seen = field(default_factory=Seen)
    discover: Seen = field(default_factory=Seen)
    anonymous: Seen = field(default_factory=Seen)
    other_slash: Seen = field(default_factory=Seen)
    listen: Seen = field(default_factory=Seen)
    stream: Seen = field(default_factory=Seen)
    ended: Seen = field(default_factory=Seen)
    lost: Seen = field(default_factory=Seen)
    old_sse: bool = False  # HTTP+SSE is what the endpoint speaks
    well_known: dict[str, Seen] = field(default_factory=dict)
    skew_s: float = 0.0  # the server's clock before ours

    @property
    def version(self) -> str:
        """What ``initialize`` agreed on; empty: it did not."""
        version = self.initialize.result.get("protocolVersion")
        return version if isinstance(version, str) else ""

    @property
    def speaks_modern(self) -> bool:
        """Whether the server says that it speaks MODERN."""
        named = self.discover.result.get("supportedVersions")
        return isinstance(named, list) and MODERN in named

    @property
    def challenge(self) -> str:
        """What a client without a token is told."""
        return self.anonymous.fields.get("www-authenticate", "")


class Doctor:
    """Asks one server.

    Args:
        target: path and query of the endpoint.
        token: as a client would send it; may be empty.
    """

    def __init__(
        self,
        client: HttpClient,
        url: str,
        target: str,
        token: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._target = target
        self._token = [(b"authorization", f"Bearer {token}".encode("ascii"))] if token else []
        self._clock = clock
        self.facts = Facts(url, bool(token))

    async def ask(self) -> Facts:
        """Make every probe; a server that is away is a fact as well."""
        facts = self.facts
        facts.initialize = await self._post(HELLO, self._token, limit_s=FIRST_ANSWER_S)
        if facts.initialize.error:
            return facts
        facts.skew_s = self._skew(facts.initialize)
        facts.anonymous = await self._post(HELLO, [])
        await self._end_session(facts.anonymous, [])
        if facts.initialize.status in (404, 405):
            facts.old_sse = await self._is_old_sse()
        await self._session()
        facts.discover = await self._modern("server/discover", {})
        if facts.speaks_modern:
            wanted = {"notifications": {"toolsListChanged": True}}
            facts.listen = await self._modern("subscriptions/listen", wanted, streams=True)
        facts.other_slash = await self._other_slash()
        await self._end_session(facts.other_slash, self._token)
        await self._oauth()
        return facts

    async def _session(self) -> None:
        facts = self.facts
        session = facts.initialize.fields.get("mcp-session-id", "")
        if not facts.version:
            return
        version = facts.version.encode("ascii", "replace")
        headers = [(b"mcp-protocol-version", version), *self._token]
        known = [(b"mcp-session-id", session.encode("latin-1")), *headers] if session else headers
        notice = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        facts.initialized = await self._post(notice, known)
        accept = [(b"accept", b"text/event-stream")]
        facts.stream = await self._send("GET", self._target, [*accept, *known])
        if session:
            facts.ended = await self._end_session(facts.initialize, self._token)
            ping = {"jsonrpc": "2.0", "id": 9, "method": "ping"}
            facts.lost = await self._post(ping, known)

    async def _is_old_sse(self) -> bool:
        headers = [(b"accept", b"text/event-stream"), *self._token]
        seen = await self._send("GET", self._target, headers, streams=True)
        return seen.is_stream and seen.first_event == "endpoint"

    async def _end_session(self, begun: Seen, token: Pairs) -> Seen:
        """A probe leaves nothing behind."""
        session = begun.fields.get("mcp-session-id", "")
        if not session:
            return Seen()
        headers = [(b"mcp-session-id", session.encode("latin-1")), *token]
        return await self._send("DELETE", self._target, headers)

    async def _modern(self, method: str, params: dict[str, Any], *, streams: bool = False) -> Seen:
        body, headers = modern(method, params, MODERN)
        headers += self._token
        return await self._post(body, headers, streams=streams)

    async def _other_slash(self) -> Seen:
        path, _, query = self._target.partition("?")
        other = path[:-1] if path.endswith("/") else f"{path}/"
        if other in ("", "/"):
            return Seen()
        target = f"{other}?{query}" if query else other
        return await self._post(HELLO, self._token, target=target)

    async def _oauth(self) -> None:
        """The paths that clients look at after a 401."""
        path = urlsplit(self._target).path.rstrip("/")
        for name in WELL_KNOWN:
            for target in dict.fromkeys((f"/.well-known/{name}{path}", f"/.well-known/{name}")):
                self.facts.well_known[target] = await self._send("GET", target, [])

    def _skew(self, seen: Seen) -> float:
        date = email.utils.parsedate_tz(seen.fields.get("date", ""))
        try:
            return 0.0 if date is None else email.utils.mktime_tz(date) - self._clock()
        except (ValueError, OverflowError):
            return 0.0

    # --- one request --------------------------------------------------------------------------

    async def _post(
        self,
        body: Any,
        headers: Pairs,
        *,
        target: str | None = None,
        streams: bool = False,
        limit_s: float = ANSWER_S,
    ) -> Seen:
        sent = [
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
            (b"user-agent", f"{NAME}/{__version__}".encode("ascii")),
            *headers,
        ]
        encoded = json.dumps(body).encode("utf-8")
        return await self._send(
            "POST", target or self._target, sent, encoded, streams=streams, limit_s=limit_s
        )

    async def _send(
        self,
        method: str,
        target: str,
        headers: Pairs,
        body: bytes = b"",
        *,
        streams: bool = False,
        limit_s: float = ANSWER_S,
    ) -> Seen:
        began = trio.current_time()
        try:
            with trio.fail_after(limit_s):
                response = await self._client.begin(method, target, headers, body)
                async with response:
                    return await self._read(response, began, streams=streams)
        except trio.TooSlowError:
            return Seen(error=f"no answer within {limit_s:g} s")
        except (NotConnected, Broken) as error:
            return Seen(error=str(error))
        except McpdError as error:
            return Seen(error=error.message)

    async def _read(self, response: IncomingResponse, began: float, *, streams: bool) -> Seen:
        pairs = response.headers.items()
        fields = {n.decode("latin-1"): v.decode("latin-1") for n, v in pairs}
        text, events, first = b"", 0, ""
        if response.header(b"content-type") == "text/event-stream":
            reader = EventReader(MAX_BODY_BYTES)
            with trio.move_on_after(FIRST_EVENT_S if streams else ONLY_HEAD_S):
                while not events and (piece := await response.receive()):
                    found = reader.feed(piece)
                    events += len(found)
                    if found:
                        text, first = found[0].data, found[0].name
        else:
            text = await response.read(MAX_BODY_BYTES)
        seconds = trio.current_time() - began
        shown = text.decode("utf-8", "replace")
        return Seen(
            response.status, fields, shown, seconds=seconds, events=events, first_event=first
        )
