"""The requests that clients make when they connect, made once. None of them changes anything: a
session that one begins, another ends.
"""

import email.utils
import time
from collections.abc import Callable
from typing import Any

import trio

from mcpd.client.requests import initialize, modern
from mcpd.doctor.discovery import Resolve, discover
from mcpd.doctor.facts import HANDSHAKE, MODERN, OK, Facts
from mcpd.doctor.prober import ANSWER_S, NAME, Pairs, Prober, Until
from mcpd.doctor.seen import Seen
from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin

LIMIT_S = 180.0  # for everything
FIRST_ANSWER_S = 60.0  # servers that sleep are woken by the first request; both SDKs wait so long
PAGES = 2  # of each list
HELLO = initialize(NAME, HANDSHAKE)
LISTS = {"tools": "tools/list", "prompts": "prompts/list", "resources": "resources/list"}
MAY_BE_OLD = (400, 404, 405)  # MCP, "Backwards Compatibility"

_STREAM = (b"accept", b"text/event-stream")


class Doctor:
    """Asks one server.

    Args:
        url: of the endpoint, without its query.
        target: path and query of the endpoint.
        token: as a client would send it; may be empty. It goes to the endpoint alone.
        resolve: the way to another origin, where an authorization server may be.
    """

    def __init__(
        self,
        client: HttpClient,
        url: str,
        target: str,
        token: str,
        *,
        resolve: Resolve = resolve_origin,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._prober = Prober(client)
        self._target = target
        self._token = [(b"authorization", f"Bearer {token}".encode("ascii"))] if token else []
        self._resolve = resolve
        self._clock = clock
        self.facts = Facts(url, bool(token))

    async def ask(self) -> Facts:
        """Make every probe, for at most LIMIT_S; a server that is away is a fact as well."""
        with trio.move_on_after(LIMIT_S) as scope:
            await self._ask()
        if scope.cancelled_caught:
            self.facts.cut_short = f"{LIMIT_S:g} s were over"
        return self.facts

    async def _ask(self) -> None:
        facts = self.facts
        facts.initialize = await self._post(HELLO, self._token, limit_s=FIRST_ANSWER_S)
        if not facts.initialize.status:
            return
        facts.skew_s = self._skew(facts.initialize)
        facts.anonymous = facts.initialize
        if self._token:
            facts.anonymous = await self._post(HELLO, [])
            await self._end_session(facts.anonymous, [])
        await self._session()
        await self._modern_era()
        if facts.initialize.status in MAY_BE_OLD and not facts.speaks_modern:
            facts.old_sse = await self._is_old_sse()
        facts.discovery = await discover(self._prober, facts, self._resolve)
        if facts.is_ours and not facts.is_this_machine:
            facts.registrations = await self._prober.send("GET", "/registrations", [])

    async def _session(self) -> None:
        facts = self.facts
        session = facts.initialize.fields.get("mcp-session-id", "")
        if not facts.version:
            await self._end_session(facts.initialize, self._token)
            return
        version = facts.version.encode("ascii", "replace")
        headers = [(b"mcp-protocol-version", version), *self._token]
        known = [(b"mcp-session-id", session.encode("latin-1")), *headers] if session else headers
        notice = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        facts.initialized = await self._post(notice, known)
        await self._lists(known)
        facts.stream = await self._prober.send(
            "GET", self._target, [_STREAM, *known], until=Until.HEAD,
            limit_s=self._prober.at_once_s,
        )  # fmt: skip
        if session:
            facts.ended = await self._end_session(facts.initialize, self._token)
        if facts.ended.status in OK:
            ping = {"jsonrpc": "2.0", "id": 9, "method": "ping"}
            facts.lost = await self._post(ping, known)

    async def _modern_era(self) -> None:
        facts = self.facts
        facts.discover = await self._modern("server/discover", {})
        if not facts.speaks_modern:
            return
        if not facts.version:
            await self._lists(None)
        wanted = {"notifications": {"toolsListChanged": True}}
        facts.listen = await self._modern("subscriptions/listen", wanted, until=Until.EVENT)

    async def _lists(self, headers: Pairs | None) -> None:
        """Of everything that the server says it has.

        Args:
            headers: of the session; None: there is none, since the server is of the modern era.
        """
        for capability, method in LISTS.items():
            if capability in self.facts.capabilities:
                self.facts.lists[method] = await self._pages(method, headers)

    async def _pages(self, method: str, headers: Pairs | None) -> list[Seen]:
        pages: list[Seen] = []
        params: dict[str, Any] = {}
        while len(pages) < PAGES:
            if headers is None:
                page = await self._modern(method, params)
            else:
                body = {"jsonrpc": "2.0", "id": 2 + len(pages), "method": method, "params": params}
                page = await self._post(body, headers)
            pages.append(page)
            cursor = page.result.get("nextCursor")
            if not cursor or not isinstance(cursor, str):
                break
            params = {"cursor": cursor}
        return pages

    async def _is_old_sse(self) -> bool:
        limit_s = self._prober.at_once_s
        headers = [_STREAM, *self._token]
        seen = await self._prober.send(
            "GET", self._target, headers, until=Until.EVENT, limit_s=limit_s
        )
        return seen.is_stream and seen.first_event == "endpoint"

    async def _end_session(self, begun: Seen, token: Pairs) -> Seen:
        """A probe leaves nothing behind."""
        session = begun.fields.get("mcp-session-id", "")
        if not session:
            return Seen()
        headers = [(b"mcp-session-id", session.encode("latin-1")), *token]
        return await self._prober.send("DELETE", self._target, headers)

    async def _modern(
        self, method: str, params: dict[str, Any], *, until: Until = Until.ANSWER
    ) -> Seen:
        body, headers = modern(NAME, method, params, MODERN)
        limit_s = ANSWER_S if until is Until.ANSWER else self._prober.at_once_s
        return await self._prober.post(
            self._target, body, [*headers, *self._token], until=until, limit_s=limit_s
        )

    async def _post(
        self, body: dict[str, Any], headers: Pairs, *, limit_s: float = ANSWER_S
    ) -> Seen:
        return await self._prober.post(self._target, body, headers, limit_s=limit_s)

    def _skew(self, seen: Seen) -> float:
        date = email.utils.parsedate_tz(seen.fields.get("date", ""))
        try:
            return 0.0 if date is None else email.utils.mktime_tz(date) - self._clock()
        except (ValueError, OverflowError):
            return 0.0
