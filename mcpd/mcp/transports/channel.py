"""Messages both ways on one channel, as stdio and HTTP+SSE have it."""

import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import msgspec
import trio

from mcpd.auth.principals import Principal
from mcpd.errors import InvalidRequest, McpdError
from mcpd.mcp.dispatch import admit_call, failed, handle_notification, say_farewell, serve
from mcpd.mcp.envelope.caller import Caller, caller_of_session
from mcpd.mcp.envelope.classify import Envelope, Era, classify
from mcpd.mcp.envelope.modern import modern_caller
from mcpd.mcp.envelope.params import read_common
from mcpd.mcp.methods.lifecycle import (
    cancelled_request,
    initialize_result,
    negotiated,
    read_initialize,
)
from mcpd.mcp.request import McpNotification
from mcpd.mcp.revisions import ASSUMED_WITHOUT_HEADER, HANDSHAKE
from mcpd.mcp.runtime import Runtime
from mcpd.mcp.transports.batch import answer_batch, check_batches
from mcpd.rpc.messages import (
    Call,
    Message,
    Notification,
    RequestId,
    RpcResponse,
    decode,
    encode_error,
    encode_result,
    is_batch,
    readable_id,
)
from mcpd.sessions.record import Move, Session

log = logging.getLogger("mcpd.mcp")

Send = Callable[[bytes], Awaitable[None]]
OpenSession = Callable[[dict[str, object]], Awaitable[Session]]


@dataclass(frozen=True, slots=True)
class Batch:
    """An array of messages; whether it may be one, the session's revision tells."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No message; its id, if that much could be read."""

    id: RequestId | None
    error: McpdError


Incoming = Message | Batch | Unreadable


def read(body: bytes) -> Incoming:
    """Make of bytes what ``Channel.receive`` serves."""
    if is_batch(body):
        return Batch(body)
    try:
        return decode(body)
    except McpdError as error:
        return Unreadable(readable_id(body), error)


class ChannelOutlet:
    """The outlet of every request on a channel."""

    writer = None

    def __init__(self, send: Send) -> None:
        self._send = send

    async def send(self, message: bytes) -> None:
        """See ``Outlet``."""
        await self._send(message)

    post = send  # the writer of the channel has what waits


class Channel:
    """One client at one channel.

    Args:
        principal: who it is.
        session: the session of the channel, if it has one from the start.
        send: writes one encoded message.
        open_session: makes a session at initialize, from what it negotiated.
        served: the eras that it speaks; modern requests have no headers here.
    """

    def __init__(
        self,
        runtime: Runtime,
        principal: Principal,
        session: Session | None,
        send: Send,
        *,
        open_session: OpenSession | None = None,
        served: Collection[Era],
    ) -> None:
        self._runtime = runtime
        self._principal = principal
        self._session_id = None if session is None else session.id
        self._send = send
        self._outlet = ChannelOutlet(send)
        self._open_session = open_session
        self._served = served
        self._scopes: dict[RequestId, trio.CancelScope] = {}  # of modern requests

    async def receive(self, incoming: Incoming) -> None:
        """Serve what ``read`` made, answer included; never raises but on cancellation."""
        try:
            if isinstance(incoming, Unreadable):
                answer: bytes | None = encode_error(incoming.id, incoming.error)
            elif isinstance(incoming, Batch):
                answer = await self._serve_batch(incoming.body)
            else:
                answer = await self._serve(incoming)
        except McpdError as error:
            answer = encode_error(None, error)
        if answer is not None:
            await self._send(answer)

    async def _serve_batch(self, body: bytes) -> bytes | None:
        session = await self._session()
        if session is None:
            raise _no_session()
        check_batches(self._caller(session).revision)
        return await answer_batch(body, self._serve)

    async def _serve(self, message: Message) -> bytes | None:
        if isinstance(message, Call):
            try:
                return await self._call(message)
            except McpdError as error:
                return failed(message.id, error).response
        try:
            await self._accept(message)
        except McpdError as error:  # what wants no answer is never answered
            log.info("message not accepted: %s", error.message)
        return None

    async def _accept(self, message: Notification | RpcResponse) -> None:
        if isinstance(message, Notification) and self._cancels(message):
            return
        session = await self._session()
        if session is None:
            return
        if isinstance(message, RpcResponse):
            await self._runtime.server_requests.deliver(session.id, message)
        else:
            await handle_notification(
                McpNotification(self._runtime, message, self._caller(session))
            )

    async def _call(self, call: Call) -> bytes | None:
        envelope = classify(call, read_common(call.params), served=self._served)
        if envelope.begins_session:
            return await self._initialize(call)
        if envelope.era is Era.MODERN:
            return await self._call_modern(call, envelope)
        session = await self._session()
        if session is None:
            raise _no_session()
        request = await admit_call(self._runtime, call, self._caller(session), envelope.params)
        return (await serve(request, self._outlet)).response

    async def _call_modern(self, call: Call, envelope: Envelope) -> bytes | None:
        caller = modern_caller(call, envelope.params, None, self._principal)
        request = await admit_call(self._runtime, call, caller, envelope.params)
        with trio.CancelScope() as scope:
            self._scopes[call.id] = scope
            try:
                return (await serve(request, self._outlet)).response
            except trio.Cancelled:
                if not scope.cancel_called:  # a client that ended it needs no farewell
                    await say_farewell(request, self._outlet)
                raise
            finally:
                self._scopes.pop(call.id, None)
        return None

    async def _initialize(self, call: Call) -> bytes:
        changes = negotiated(read_initialize(call.params))
        session = await self._session()
        if session is not None:
            await self._runtime.sessions.move(session, Move.INITIALIZE, **changes)
        elif self._open_session is not None:
            self._session_id = (await self._open_session(changes)).id
        result = initialize_result(self._runtime.catalog, HANDSHAKE[str(changes["revision"])])
        return encode_result(call.id, msgspec.json.encode(result))

    def _cancels(self, notification: Notification) -> bool:
        """Whether it cancels a modern request; those have no session to be found by."""
        if notification.method != "notifications/cancelled":
            return False
        request_id = cancelled_request(notification)
        scope = None if request_id is None else self._scopes.get(request_id)
        if scope is not None:
            scope.cancel()
        return scope is not None

    async def _session(self) -> Session | None:
        if self._session_id is None:
            return None
        return await self._runtime.sessions.find(self._session_id)

    def _caller(self, session: Session) -> Caller:
        revision = HANDSHAKE.get(session.revision or "", ASSUMED_WITHOUT_HEADER)
        return caller_of_session(session, self._principal, revision)


def _no_session() -> InvalidRequest:
    return InvalidRequest("There is no session yet.", fix="Send initialize first.")
