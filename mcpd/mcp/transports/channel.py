"""Messages both ways on one channel, as stdio and HTTP+SSE have it."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import trio

from mcpd.auth.principals import Principal
from mcpd.errors import InvalidRequest, McpdError
from mcpd.mcp import dispatch
from mcpd.mcp.encoding import encode
from mcpd.mcp.envelope import modern
from mcpd.mcp.envelope.caller import Caller, caller_of_session
from mcpd.mcp.methods.lifecycle import (
    cancelled_request,
    initialize_result,
    negotiated,
    read_initialize,
)
from mcpd.mcp.request import Job, Method, NoticeJob, Services
from mcpd.mcp.revisions import ASSUMED_WITHOUT_HEADER, HANDSHAKE
from mcpd.mcp.transports.batch import answer_batch, check_batches
from mcpd.rpc.messages import (
    Call,
    Message,
    Notice,
    Reply,
    RequestId,
    decode,
    encode_error,
    encode_result,
    is_batch,
    readable_id,
)
from mcpd.sessions.record import Move, Session

GOODBYE_S = 1.0

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


Arrived = Message | Batch | Unreadable


def read(body: bytes) -> Arrived:
    """Make of bytes what ``Channel.take`` serves."""
    if is_batch(body):
        return Batch(body)
    try:
        return decode(body)
    except McpdError as error:
        return Unreadable(readable_id(body), error)


class Channel:
    """One client at one channel.

    Args:
        principal: who it is.
        session: the session of the channel, if it has one from the start.
        send: writes one encoded message.
        open_session: makes a session at initialize, from what it negotiated.
        takes_modern: requests of 2026-07-28 are served too; they have no headers here.
    """

    def __init__(
        self,
        services: Services,
        principal: Principal,
        session: Session | None,
        send: Send,
        *,
        open_session: OpenSession | None = None,
        takes_modern: bool = False,
    ) -> None:
        self._services = services
        self._principal = principal
        self._session_id = None if session is None else session.id
        self._send = send
        self._open_session = open_session
        self._takes_modern = takes_modern
        self._scopes: dict[RequestId, trio.CancelScope] = {}  # of modern requests

    async def take(self, arrived: Arrived) -> None:
        """Serve what ``read`` made, answer included; never raises but on cancellation."""
        try:
            if isinstance(arrived, Unreadable):
                answer: bytes | None = encode_error(arrived.id, arrived.error)
            elif isinstance(arrived, Batch):
                answer = await self._batch(arrived.body)
            else:
                answer = await self._serve(arrived)
        except McpdError as error:
            answer = encode_error(None, error)
        if answer is not None:
            await self._send(answer)

    async def _batch(self, body: bytes) -> bytes | None:
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
                return encode_error(message.id, error)
        try:
            await self._hear(message)
        except McpdError as error:  # what wants no answer is never answered
            log.info("message not accepted: %s", error.message)
        return None

    async def _hear(self, message: Notice | Reply) -> None:
        if isinstance(message, Notice) and self._cancels(message):
            return
        session = await self._session()
        if session is None:
            return
        if isinstance(message, Reply):
            await self._services.questions.answer(session.id, message)
        else:
            job = NoticeJob(self._services, message, self._caller(session))
            await dispatch.take_notice(job)

    async def _call(self, call: Call) -> bytes | None:
        envelope = modern.read_envelope(call)
        if self._takes_modern and modern.is_modern(envelope, None):
            return await self._modern(call, envelope)
        if call.method == "initialize":
            return await self._initialize(call)
        session = await self._session()
        if session is None:
            raise _no_session()
        job = Job(self._services, call, self._caller(session), self._send)
        return await dispatch.answer(job, dispatch.find_method(job))

    async def _modern(self, call: Call, envelope: modern.EnvelopeParams) -> bytes | None:
        caller = modern.climb(call, envelope, None, self._principal)
        job = Job(self._services, call, caller, self._send)
        method = dispatch.find_method(job)
        with trio.CancelScope() as scope:
            self._scopes[call.id] = scope
            try:
                return await dispatch.answer(job, method)
            except trio.Cancelled:
                await self._say_goodbye(job, method, by_client=scope.cancel_called)
                raise
            finally:
                self._scopes.pop(call.id, None)
        return None

    async def _say_goodbye(self, job: Job, method: Method, *, by_client: bool) -> None:
        """A subscription that we end is told so; one that the client ended is not."""
        if method.farewell is None or by_client:
            return
        with trio.move_on_after(GOODBYE_S, shield=True):
            await self._send(encode_result(job.call.id, encode(job, method.farewell(job))))

    async def _initialize(self, call: Call) -> bytes:
        changes = negotiated(read_initialize(call.params))
        session = await self._session()
        if session is not None:
            await self._services.sessions.move(session, Move.INITIALIZE, **changes)
        elif self._open_session is not None:
            self._session_id = (await self._open_session(changes)).id
        result = initialize_result(self._services.host, HANDSHAKE[str(changes["revision"])])
        return encode_result(call.id, msgspec.json.encode(result))

    def _cancels(self, notice: Notice) -> bool:
        """Whether it cancels a modern request; those have no session to be found by."""
        if notice.method != "notifications/cancelled":
            return False
        request_id = cancelled_request(notice)
        scope = None if request_id is None else self._scopes.get(request_id)
        if scope is not None:
            scope.cancel()
        return scope is not None

    async def _session(self) -> Session | None:
        if self._session_id is None:
            return None
        return await self._services.sessions.find(self._session_id)

    def _caller(self, session: Session) -> Caller:
        revision = HANDSHAKE.get(session.revision or "", ASSUMED_WITHOUT_HEADER)
        return caller_of_session(session, self._principal, revision)


def _no_session() -> InvalidRequest:
    return InvalidRequest("There is no session yet.", fix="Send initialize first.")
