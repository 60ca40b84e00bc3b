"""Streamable HTTP, both eras on one endpoint (MCP, basic/transports).

A POST passes these rooms, and the first that refuses answers: session (404 before anything
costly), token, owner, body, message, era, method. GET and DELETE belong to the handshake era.
"""

from collections.abc import Callable

import msgspec
import trio

from mcpd.auth.gate import Gate
from mcpd.errors import InvalidRequest, McpdError, MethodNotAllowed, UnsupportedProtocolVersion
from mcpd.http import sse
from mcpd.http.messages import Answer, EventSink, EventStream, Headers, Request, Response
from mcpd.mcp import dispatch
from mcpd.mcp.encoding import encode
from mcpd.mcp.envelope import modern
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.envelope.handshake import (
    HEADER_SESSION,
    Arrival,
    EnvelopeFault,
    check_version_header,
    handshake_caller,
    named_session,
    no_session,
)
from mcpd.mcp.envelope.headers import check_mirrored
from mcpd.mcp.methods.lifecycle import initialize_result, negotiated, read_initialize
from mcpd.mcp.questions.conversation import Notify
from mcpd.mcp.request import Farewell, Job, Method, NoticeJob, Services
from mcpd.mcp.revisions import HANDSHAKE
from mcpd.mcp.transports.batch import take_batch
from mcpd.mcp.transports.call_streams import call_stream, find_call, session_stream
from mcpd.mcp.transports.opening import opened_by_initialize
from mcpd.mcp.transports.wire import (
    ACCEPTED,
    CANCELLED,
    accepts,
    check_json,
    error_response,
    message_response,
    refusal,
)
from mcpd.rpc.messages import (
    Call,
    Notice,
    Reply,
    decode,
    encode_error,
    encode_result,
    is_batch,
    readable_id,
)
from mcpd.sessions.log import SESSION_STREAM, read_event_id
from mcpd.sessions.record import Move, Session

GOODBYE_S = 1.0


class StreamableHttp:
    """The endpoints behind /mcp and /mcp/.

    Args:
        handshake: serve the revisions that have one; without them there are no sessions.
    """

    def __init__(
        self, services: Services, gate: Gate, *, max_body_bytes: int, handshake: bool = True
    ) -> None:
        self._services = services
        self._gate = gate
        self._max_body_bytes = max_body_bytes
        self._handshake = handshake

    # --- POST ---------------------------------------------------------------------------------

    async def post(self, request: Request) -> Answer:
        """One message, or in 2025-03-26 an array of them."""
        return await self.receive(request, bytes)

    async def receive(self, request: Request, complete: Callable[[bytes], bytes]) -> Answer:
        """Like ``post``; ``complete`` makes a message of the body."""
        try:
            arrival = await self._arrive(request)
            check_json(request.headers)
            return await self._take(arrival, complete(await request.body(self._max_body_bytes)))
        except McpdError as error:
            if error.status in (401, 403):
                raise  # OAuth's shape, with the challenge
            return refusal(None, error)

    async def _arrive(self, request: Request) -> Arrival:
        version = request.headers.one(modern.HEADER_VERSION)
        session = await self._session(request, version)
        principal = self._gate.authenticate(request.headers.raw(b"authorization"))
        request.notes["user"] = principal.subject
        if session is not None:
            session = await self._services.sessions.claim(session, principal)
        return Arrival(request, principal, session, accepts(request.headers), version)

    async def _session(self, request: Request, version: str | None) -> Session | None:
        """The session that the request names; a modern one names none (2026-07-28)."""
        named = named_session(request.headers) if self._handshake else None
        if named is None or (version is not None and version not in HANDSHAKE):
            return None
        request.notes["session"] = named[:64]
        return await self._services.sessions.find(named)

    async def _take(self, arrival: Arrival, body: bytes) -> Answer:
        """Serve the body of a POST."""
        if is_batch(body):
            return await take_batch(self._services, arrival, body)
        try:
            message = decode(body)
        except McpdError as error:
            return refusal(readable_id(body), error)
        if isinstance(message, Call):
            return await self._call(arrival, message)
        if isinstance(message, Notice):
            return await self._notice(arrival, message)
        return await self._reply(arrival, message)

    async def _call(self, arrival: Arrival, call: Call) -> Answer:
        arrival.request.notes["method"] = call.method
        is_modern = arrival.is_modern or not self._handshake
        try:
            envelope = modern.read_envelope(call)
            if call.method == "initialize" and not modern.has_modern_meta(envelope):
                return await self._initialize(arrival, call)
            is_modern = not self._handshake or modern.is_modern(envelope, arrival.header_version)
            if is_modern:
                headers = arrival.request.headers
                versions = self._services.host.versions
                caller = modern.climb(call, envelope, headers, arrival.principal, versions)
                self._check_mirrored(call, envelope, headers)
            else:
                caller = handshake_caller(arrival)
                arrival.request.keep_on_disconnect()  # MCP 2025-03-26: no cancellation
            return await self._serve(arrival, call, caller)
        except EnvelopeFault as error:
            return refusal(call.id, error)
        except McpdError as error:
            return error_response(call.id, error, arrival.accepted, modern=is_modern)

    def _check_mirrored(
        self, call: Call, envelope: modern.EnvelopeParams, headers: Headers
    ) -> None:
        if call.method == "tools/call":
            parameters = self._services.host.mirrored.get(envelope.name)
            if parameters:
                check_mirrored(headers, parameters, call.params)

    async def _serve(self, arrival: Arrival, call: Call, caller: Caller) -> Answer:
        job = Job(self._services, call, caller)
        method = dispatch.find_method(job)
        if arrival.accepted.events and dispatch.may_stream(job, method):
            if arrival.session is not None and caller.session is not None:
                return call_stream(job, method, arrival.session, arrival.accepted)
            return self._stream(arrival, job, method)
        body = await dispatch.answer(job, method)
        return CANCELLED if body is None else message_response(body, arrival.accepted)

    def _stream(self, arrival: Arrival, job: Job, method: Method) -> EventStream:
        """A stream that begins with the first notification; without one a plain answer."""

        async def run(sink: EventSink) -> Response | None:
            opened = False

            async def notify(message: bytes) -> None:
                nonlocal opened
                opened = True
                await sink.send(sse.event(message))

            streaming = Job(job.services, job.call, job.caller, notify)
            try:
                body = await dispatch.answer(streaming, method)
            except trio.Cancelled:
                if method.farewell is not None:
                    await _say_goodbye(streaming, method.farewell, notify)
                raise
            except McpdError as error:
                if not opened:
                    is_modern = job.caller.revision.modern
                    return error_response(job.call.id, error, arrival.accepted, modern=is_modern)
                body = encode_error(job.call.id, error)
            if not opened:
                return CANCELLED if body is None else message_response(body, arrival.accepted)
            if body is not None:
                await sink.send(sse.event(body))
            return None

        return EventStream(run, sse.STREAM_HEADERS, open_ended=method.farewell is not None)

    async def _initialize(self, arrival: Arrival, call: Call) -> Answer:
        """Open a session, or keep the one that was registered."""
        if not self._handshake:
            raise UnsupportedProtocolVersion(
                "This server has no handshake.",
                fix="Speak a version that it supports.",
                data={"supported": self._services.host.versions},
            )
        if not arrival.is_modern:
            check_version_header(arrival)
        params = read_initialize(call.params)
        changes, sessions = negotiated(params), self._services.sessions
        if arrival.session is None:
            session = opened_by_initialize(
                arrival.request, arrival.principal, changes, now=sessions.clock()
            )
            await sessions.open(session)
        else:
            session = await sessions.move(arrival.session, Move.INITIALIZE, **changes)
        arrival.request.notes["session"] = session.id
        result = initialize_result(self._services.host, HANDSHAKE[changes["revision"]])
        body = encode_result(call.id, msgspec.json.encode(result))
        headers = ((HEADER_SESSION, session.id.encode("ascii")),)
        return message_response(body, arrival.accepted, headers)

    async def _notice(self, arrival: Arrival, notice: Notice) -> Answer:
        arrival.request.notes["method"] = notice.method
        if arrival.session is None:
            if arrival.is_modern or not self._handshake:
                return ACCEPTED  # none is defined there over HTTP; unknown ones are ignored
            raise no_session()
        caller = handshake_caller(arrival)
        await dispatch.take_notice(NoticeJob(self._services, notice, caller))
        return ACCEPTED

    async def _reply(self, arrival: Arrival, reply: Reply) -> Answer:
        """The answer to a question of ours; one that nobody waits for any more is dropped."""
        if arrival.is_modern or not self._handshake:
            raise InvalidRequest("2026-07-28 has no responses from the client.")
        handshake_caller(arrival)
        if arrival.session is not None:
            await self._services.questions.answer(arrival.session.id, reply)
        return ACCEPTED

    # --- GET and DELETE -----------------------------------------------------------------------

    async def get(self, request: Request) -> Answer:
        """The session's own stream, or the rest of a call's, by Last-Event-ID."""
        arrival, session = await self._arrive_in_session(request, "GET opens its stream")
        revision = handshake_caller(arrival).revision
        found = read_event_id(request.headers.one(b"last-event-id") or "")
        if found is not None:
            stream = await find_call(self._services, session.id, *found, revision)
            if stream is not None:
                return stream
        own = found is not None and found[0] == SESSION_STREAM
        after = found[1] if found is not None and own else None
        return await session_stream(self._services, session, revision, after)

    async def delete(self, request: Request) -> Answer:
        """End the session."""
        _, session = await self._arrive_in_session(request, "DELETE ends it")
        await self._services.sessions.end(session)
        return Response(204)

    async def _arrive_in_session(self, request: Request, what: str) -> tuple[Arrival, Session]:
        arrival = await self._arrive(request)
        if self._handshake and not arrival.is_modern:
            check_version_header(arrival)
            if arrival.session is not None:
                return arrival, arrival.session
        raise self._not_allowed(f"{what}, and no session is named.")

    def _not_allowed(self, message: str) -> MethodNotAllowed:
        return MethodNotAllowed(
            message,
            fix="Send Mcp-Session-Id, or use POST: 2026-07-28 has no sessions.",
            headers=((b"allow", b"POST, GET, DELETE, OPTIONS"),),
        )


async def _say_goodbye(job: Job, farewell: Farewell, notify: Notify) -> None:
    """The result of an open-ended request that the server ends; a peer that left gets none."""
    with trio.move_on_after(GOODBYE_S, shield=True):
        await notify(encode_result(job.call.id, encode(job, farewell(job))))
