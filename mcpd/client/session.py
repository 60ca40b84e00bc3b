"""What the server knows this client by, in the handshake era, and how to be known again.

A server that restarts without a memory answers 404 to a session that it does not know (MCP,
"Session Management"). The caller need not notice: what was set up in the session is repeated.
"""

import logging
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count
from typing import Any

import msgspec
import trio

from mcpd.client.errors import Undeliverable
from mcpd.client.http_transport import HttpTransport
from mcpd.client.messages import ServerMessage, read_messages, uri_of
from mcpd.client.responses import (
    LINGER_S,
    POST_HEADERS,
    OnMessage,
    is_stream,
    new_reader,
    read_body,
    read_events,
    read_quietly,
)
from mcpd.http.client import Broken, IncomingResponse
from mcpd.rpc.messages import Call, encode_notification

log = logging.getLogger("mcpd.client")

RENEW_S = 30.0  # to begin again; every other request waits for it
MAX_KEPT = 1000  # requests that are repeated in a new session
SET_UP = ("logging/setLevel", "resources/subscribe")
INITIALIZED = encode_notification("notifications/initialized", {})
_own_ids = map('"mcpd-client-{}"'.format, count(1))


class SessionState(Enum):
    """How far the handshake with the server is."""

    NONE = auto()
    AGREED = auto()  # initialize was answered
    READY = auto()  # notifications/initialized was taken


class SessionMove(Enum):
    """What can happen to it."""

    AGREE = auto()
    CONFIRM = auto()
    RENEW = auto()  # the server forgot the session, and began another one like it
    FORGET = auto()  # the caller begins anew


MOVES: dict[SessionState, dict[SessionMove, SessionState]] = {
    SessionState.NONE: {
        SessionMove.AGREE: SessionState.AGREED,
        SessionMove.RENEW: SessionState.AGREED,  # it was forgotten while it was renewed
        SessionMove.FORGET: SessionState.NONE,
    },
    SessionState.AGREED: {
        SessionMove.AGREE: SessionState.AGREED,
        SessionMove.CONFIRM: SessionState.READY,
        SessionMove.RENEW: SessionState.AGREED,
        SessionMove.FORGET: SessionState.NONE,
    },
    SessionState.READY: {
        SessionMove.AGREE: SessionState.AGREED,
        SessionMove.CONFIRM: SessionState.READY,
        SessionMove.RENEW: SessionState.READY,
        SessionMove.FORGET: SessionState.NONE,
    },
}


class _Initialized(msgspec.Struct):
    """Nothing in it is trusted: another server's oddity must not stop a handshake."""

    protocolVersion: Any = ""
    capabilities: Any = None


_initialized = msgspec.json.Decoder(_Initialized)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What the server said of a session when it was begun."""

    session_id: bytes = b""  # empty: it has none
    version: bytes = b""
    capabilities: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        pairs = [(b"mcp-session-id", self.session_id)] if self.session_id else []
        if self.version:
            pairs.append((b"mcp-protocol-version", self.version))
        return pairs


class ClientSession:
    """The session of this client, or none.

    Attributes:
        state: of the handshake; a server without sessions gives no id and has one all the same.
        number: how often it was begun.
        ready: set while the state is READY.
        listening: the scope of the stream that belongs to no request.

    Args:
        receive: gets what the server sends beside its answers.
    """

    def __init__(self, transport: HttpTransport, receive: OnMessage) -> None:
        self.state = SessionState.NONE
        self.number = 0
        self.ready = trio.Event()
        self.listening: trio.CancelScope | None = None
        self._transport = transport
        self._receive = receive
        self._terms = _Terms()
        self._initialize: Call | None = None
        self._kept: dict[tuple[str, str], Call] = {}
        self._lock = trio.Lock()

    @property
    def is_agreed(self) -> bool:
        """Whether ``initialize`` was answered."""
        return self.state is not SessionState.NONE

    @property
    def is_there(self) -> bool:
        """Whether the server gave an id."""
        return bool(self._terms.session_id)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What each message of the session carries."""
        return self._terms.headers

    def forget(self) -> None:
        """The client begins anew."""
        self._move(SessionMove.FORGET)
        self._terms = _Terms()
        self._kept.clear()
        self._listen_anew()

    def _move(self, move: SessionMove) -> None:
        self.state = MOVES[self.state][move]
        if self.state is SessionState.READY:
            self.ready.set()
        elif self.ready.is_set():
            self.ready = trio.Event()

    def confirm(self) -> None:
        """The server took ``notifications/initialized``."""
        self._move(SessionMove.CONFIRM)

    def _listen_anew(self) -> None:
        if self.listening is not None:
            self.listening.cancel()

    def agree(self, call: Call, session_id: str, result: bytes) -> None:
        """``initialize`` was answered."""
        self._initialize = call
        self._use(_read_terms(session_id, result), SessionMove.AGREE)

    def _use(self, terms: _Terms, move: SessionMove) -> None:
        self._terms = terms
        self.number += 1
        self._move(move)

    def keep(self, call: Call) -> None:
        """A request that set something up, and was answered."""
        uri = ""
        if call.method in ("resources/subscribe", "resources/unsubscribe"):
            uri = uri_of(call)
        if call.method == "resources/unsubscribe":
            self._kept.pop(("resources/subscribe", uri), None)
        elif call.method in SET_UP and len(self._kept) < MAX_KEPT:
            self._kept[call.method, uri] = call

    async def settled(self) -> None:
        """Wait while it is being begun again."""
        async with self._lock:
            return

    # --- again --------------------------------------------------------------------------------

    async def renew(self, number: int) -> None:
        """Begin again, unless that was done since the session had this number, and tell the caller
        that lists may be different ones now.

        Raises:
            Undeliverable: the server will not.
        """
        async with self._lock:
            if self.number != number or self._initialize is None:
                return
            log.warning("the server does not know the session any more: initializing again")
            with trio.move_on_after(RENEW_S) as scope:
                await self._begin_again(self._initialize)
            if scope.cancelled_caught:
                raise _none_other()
        for kind, declared in self._terms.capabilities.items():
            if isinstance(declared, dict) and declared.get("listChanged"):
                await self._receive(encode_notification(f"notifications/{kind}/list_changed", {}))
        self._listen_anew()

    async def _begin_again(self, initialize: Call) -> None:
        """What is known of the old session stays until the new one is as it was."""
        response, answer = await self._ask(initialize, [])
        if answer is None or answer.is_error:
            raise _none_other()
        terms = _read_terms(session_id_of(response), answer.result)
        accepted = await self._transport.begin(
            "POST", [*POST_HEADERS, *terms.headers], INITIALIZED, repeatable=True
        )
        await read_quietly(accepted)
        if accepted.status >= 400:
            raise _none_other()
        for call in list(self._kept.values()):
            await self._ask(call, terms.headers)
        self._use(terms, SessionMove.RENEW)

    async def _ask(
        self, call: Call, headers: list[tuple[bytes, bytes]]
    ) -> tuple[IncomingResponse, ServerMessage | None]:
        """Make a request of the session's own; None: it got no answer that can be read."""
        own_id = next(_own_ids).encode("ascii")
        method = msgspec.json.encode(call.method)
        body = b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}' % (own_id, method, call.params)
        response = await self._transport.begin(
            "POST", [*POST_HEADERS, *headers], body, repeatable=True
        )
        if response.status != 200:
            words = await self._transport.explain(response)
            log.warning("%s: %s %s", call.method, response.status, words)
            return response, None
        return response, await self._answer(response, own_id)

    async def _answer(self, response: IncomingResponse, own_id: bytes) -> ServerMessage | None:
        answers: list[ServerMessage] = []
        scope = trio.CancelScope()

        async def receive(body: bytes) -> None:
            for message in read_messages(body):
                if message.key == own_id:
                    answers.append(message)
                    scope.deadline = trio.current_time() + LINGER_S
                else:
                    await self._receive(message.line)

        try:
            with scope:
                if is_stream(response):
                    await read_events(response, new_reader(), receive)
                else:
                    await receive(await read_body(response))
        except (msgspec.DecodeError, Broken):
            return None
        return answers[0] if answers else None


def session_id_of(response: IncomingResponse) -> str:
    """The session that an answer to ``initialize`` begins; empty: the server has none."""
    return response.headers.joined(b"mcp-session-id")


def _read_terms(session_id: str, result: bytes) -> _Terms:
    try:
        told = _initialized.decode(result)
    except msgspec.DecodeError:
        told = _Initialized()
    version, capabilities = told.protocolVersion, told.capabilities
    return _Terms(
        session_id.encode("latin-1"),
        version.encode("ascii") if _is_version(version) else b"",
        capabilities if isinstance(capabilities, dict) else {},
    )


def _is_version(version: Any) -> bool:
    """Whether it can be sent back in a header."""
    return isinstance(version, str) and version.isascii() and version.isprintable()


def _none_other() -> Undeliverable:
    return Undeliverable(
        "The session is over, and the server does not begin another one.",
        fix="Try again, or start the client again.",
    )
