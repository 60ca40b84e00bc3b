"""What a server has, asked before anything is played."""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Any

import msgspec
import trio

from mcpd.auth.client_token import ClientToken
from mcpd.client.client import Client
from mcpd.client.errors import TokenRefused
from mcpd.client.http_sse import HttpSseStream
from mcpd.client.http_transport import HttpTransport
from mcpd.client.messages import read_outgoing
from mcpd.client.requests import initialize
from mcpd.client.responses import POST_HEADERS, is_stream, read_quietly
from mcpd.client.session import INITIALIZED, session_id_of
from mcpd.errors import McpdError, Unavailable
from mcpd.http.client import HttpClient, IncomingResponse
from mcpd.http.origin import Origin
from mcpd.mcp.envelope.params import META_CAPABILITIES, META_CLIENT_INFO, META_VERSION
from mcpd.mcp.revisions import NEWEST_HANDSHAKE, V2026_07_28
from mcpd.replay.requirements import ServerProfile
from mcpd.version import __version__

NAME = "mcpd-replay"
QUESTION_S = 10.0  # for one answer; a server that starts cold has that long
MAX_PAGES = 100  # of one list
LISTS = {  # method → its member, what is taken of an item, the capability without which it is none
    "tools/list": ("tools", "name", "tools"),
    "resources/list": ("resources", "uri", "resources"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate", "resources"),
    "prompts/list": ("prompts", "name", "prompts"),
}


class NotThere(Unavailable):
    """There is no server to play against: it cannot be reached, or speaks no MCP."""

    slug = "not_there"


@dataclass(frozen=True, slots=True)
class Where:
    """One server, and what is shown to it."""

    origin: Origin
    target: str
    credentials: ClientToken

    def transport(self, client: HttpClient, credentials: ClientToken, target: str) -> HttpTransport:
        """Requests that are made once."""
        authority = self.origin.authority.decode("ascii")
        url = f"{self.origin.scheme}://{authority}{self.target}"
        return HttpTransport(client, target, credentials, url=url, wait_s=0)


async def survey(where: Where, streams: Collection[str] = ()) -> ServerProfile:
    """Ask a server what it has.

    Args:
        streams: targets at which it may have HTTP+SSE.

    Raises:
        NotThere: it cannot be reached, refuses the token, or speaks no MCP; the text says what
            came.
    """
    async with HttpClient(where.origin) as http:
        target = await _reach(where, http)
        questions = _Questions(where.transport(http, where.credentials, target))
        listed = await questions.ask_all()
        found = await _find_streams(where, http, streams)
        if not questions.eras and not found:
            raise NotThere(
                f"There is no MCP server at {questions.http.shown}: {questions.trouble}",
                fix="Is the URL that of its endpoint?",
            )
        wants_token = bool(where.credentials.token) and await _refuses_strangers(where, http)
    return ServerProfile(
        target=target,
        handshake="handshake" in questions.eras,
        modern="modern" in questions.eras,
        wants_token=wants_token,
        streams=found,
        tools=frozenset(listed["tools/list"]),
        resources=frozenset(listed["resources/list"] | listed["resources/templates/list"]),
        prompts=frozenset(listed["prompts/list"]),
    )


async def _reach(where: Where, http: HttpClient) -> str:
    """The target of the endpoint, behind redirects.

    Raises:
        NotThere: see ``survey``.
    """
    transport = where.transport(http, where.credentials, where.target)
    try:
        with trio.fail_after(QUESTION_S):
            return (await _knock(transport)).target
    except trio.TooSlowError:
        error: McpdError = NotThere(
            f"{transport.shown} says nothing within {QUESTION_S:g} s.",
            fix="Is the server running, and the URL right?",
        )
    except McpdError as refused:
        error = NotThere(refused.message, fix=refused.fix.removesuffix(" --wait waits longer."))
    raise error


async def _knock(transport: HttpTransport) -> IncomingResponse:
    """Ask for a session, and give it up; what was said to that, read and closed."""
    body = msgspec.json.encode(initialize(NAME, NEWEST_HANDSHAKE.name))
    response = await transport.begin("POST", POST_HEADERS, body, repeatable=True)
    if is_stream(response):
        await response.__aexit__(None, None, None)
    else:
        await read_quietly(response)
    if session := session_id_of(response):
        headers = [(b"mcp-session-id", session.encode("latin-1"))]
        await read_quietly(await transport.begin("DELETE", headers, repeatable=True))
    return response


async def _refuses_strangers(where: Where, http: HttpClient) -> bool:
    """Whether a request without a token is refused."""
    with trio.move_on_after(QUESTION_S):
        try:
            answer = await _knock(where.transport(http, ClientToken(None, {}), where.target))
            return answer.status == 403  # which is wrong, and shows when it is played
        except TokenRefused:
            return True
        except McpdError:
            return False
    return False


class _Questions:
    """To one server, in both eras.

    Attributes:
        eras: that were answered.
        trouble: what came in the place of an answer.
    """

    def __init__(self, http: HttpTransport) -> None:
        self.http = http
        self.eras: set[str] = set()
        self.trouble = ""
        self._client = Client(http, _ignore)
        self._next_id = 0

    async def ask_all(self) -> dict[str, set[str]]:
        """What the lists hold."""
        listed: dict[str, set[str]] = {method: set() for method in LISTS}
        hello = initialize(NAME, NEWEST_HANDSHAKE.name)
        modern = await self._ask("server/discover", {}, modern=True)
        if V2026_07_28.name in _array(modern, "supportedVersions"):
            self.eras.add("modern")
            await self._list(modern, listed, modern=True)
        handshake = await self._ask("initialize", hello["params"], modern=False)
        if isinstance(handshake.get("protocolVersion"), str):
            self.eras.add("handshake")
            with trio.move_on_after(QUESTION_S):
                await self._client.confirm(read_outgoing(INITIALIZED))
            await self._list(handshake, listed, modern=False)
            with trio.move_on_after(QUESTION_S):
                await self._client.end_session()
        return listed

    async def _list(
        self, hello: dict[str, Any], listed: dict[str, set[str]], *, modern: bool
    ) -> None:
        """Put everything that is listed into ``listed``."""
        capabilities = hello.get("capabilities")
        capabilities = capabilities if isinstance(capabilities, dict) else {}
        for method, (member, name, capability) in LISTS.items():
            if capability in capabilities:
                async for result in self._pages(method, modern=modern):
                    items = (one for one in _array(result, member) if isinstance(one, dict))
                    listed[method] |= {one[name] for one in items if isinstance(one.get(name), str)}

    async def _pages(self, method: str, *, modern: bool) -> AsyncIterator[dict[str, Any]]:
        params: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            result = await self._ask(method, params, modern=modern)
            yield result
            params = {"cursor": result.get("nextCursor")}
            if not isinstance(params["cursor"], str):
                return

    async def _ask(self, method: str, params: dict[str, Any], *, modern: bool) -> dict[str, Any]:
        """The result; empty: there is none, and ``trouble`` says why."""
        answers: list[Any] = []

        async def keep(line: bytes) -> None:
            message = msgspec.json.decode(line)
            if "method" not in message:
                answers.append(message)

        self._next_id += 1
        if modern:
            params = {**params, "_meta": _metadata()}
        body = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
        exchange = self._client.begin(read_outgoing(msgspec.json.encode(body)), keep)
        with trio.move_on_after(QUESTION_S):
            await self._client.run(exchange, trio.lowlevel.checkpoint)
        answer = answers[0] if answers else {}
        result = answer.get("result")
        if not isinstance(result, dict):
            error = answer.get("error", {"message": f"no answer within {QUESTION_S:g} s"})
            told = error.get("message") if isinstance(error, dict) else error
            self.trouble = f"{method}: {told}"
        return result if isinstance(result, dict) else {}


def _metadata() -> dict[str, Any]:
    info = {"name": NAME, "version": __version__}
    return {META_VERSION: V2026_07_28.name, META_CLIENT_INFO: info, META_CAPABILITIES: {}}


def _array(result: dict[str, Any], member: str) -> list[Any]:
    found = result.get(member)
    return found if isinstance(found, list) else []


async def _ignore(_: bytes) -> None:
    return


async def _find_streams(where: Where, http: HttpClient, targets: Collection[str]) -> frozenset[str]:
    """Those at which there is HTTP+SSE."""
    found = set()
    async with trio.open_nursery() as nursery:
        for target in set(targets):
            stream = HttpSseStream(where.transport(http, where.credentials, target), _ignore)
            with trio.move_on_after(QUESTION_S):
                try:
                    if await stream.open(nursery):
                        found.add(target)
                except McpdError:
                    continue
        nursery.cancel_scope.cancel()
    return frozenset(found)
