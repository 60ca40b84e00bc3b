"""Streamable HTTP, both eras on one endpoint (MCP, basic/transports).

A POST has two stages. What its head decides is its admission: session (404 before anything
costly), credential, owner. What its body decides is the message: its era, its method, what it
names. GET and DELETE belong to the handshake era.
"""

from collections.abc import Callable
from functools import partial

from mcpd.auth.authenticator import Authenticator
from mcpd.errors import InvalidRequest, McpdError, MethodNotAllowed, UnsupportedProtocolVersion
from mcpd.http.messages import Answer, Request, Response
from mcpd.mcp.dispatch import admit_call, failed, handle_notification, serve, tell_refused
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.envelope.classify import BOTH_ERAS, Envelope, Era, classify
from mcpd.mcp.envelope.handshake import EnvelopeFault, check_version_header, no_session
from mcpd.mcp.envelope.headers import check_mirrored
from mcpd.mcp.envelope.modern import modern_caller
from mcpd.mcp.envelope.params import read_common
from mcpd.mcp.request import McpNotification, McpRequest
from mcpd.mcp.revisions import NEWEST_HANDSHAKE
from mcpd.mcp.runtime import Runtime
from mcpd.mcp.transports.admission import Admissions, AuthenticatedRequest, caller_key
from mcpd.mcp.transports.batch import serve_batch
from mcpd.mcp.transports.event_streams import (
    call_stream,
    find_call_stream,
    kept_call_stream,
    session_stream,
)
from mcpd.mcp.transports.initialize import initialize
from mcpd.mcp.transports.wire import (
    ACCEPTED,
    CANCELLED,
    check_accept,
    check_json,
    outcome_response,
    refusal,
)
from mcpd.rpc.messages import (
    Call,
    Notification,
    RpcResponse,
    decode,
    is_batch,
    readable_id,
)
from mcpd.sessions.record import Session
from mcpd.sessions.stream_ids import read_event_id
from mcpd.sessions.streams import SESSION_STREAM


class StreamableHttp:
    """The endpoints behind /mcp and /mcp/.

    Args:
        handshake: serve the revisions that have one; without them there are no sessions.
    """

    def __init__(
        self,
        runtime: Runtime,
        authenticator: Authenticator,
        *,
        max_body_bytes: int,
        handshake: bool = True,
    ) -> None:
        self._runtime = runtime
        self._admissions = Admissions(runtime.sessions, authenticator, handshake=handshake)
        self._max_body_bytes = max_body_bytes
        self._handshake = handshake
        self._eras = BOTH_ERAS if handshake else frozenset({Era.MODERN})

    # --- POST ---------------------------------------------------------------------------------

    async def post(
        self, request: Request, make_message: Callable[[bytes], bytes] | None = None
    ) -> Answer:
        """One message, or in 2025-03-26 an array of them.

        Args:
            make_message: makes the message of the body, where that is something else.
        """
        try:
            admitted = await self._admit(request)
            check_accept(admitted.admission.accepted)
            body = request.body_at_hand(self._max_body_bytes)
            if body != b"" and not admitted.admission.is_json:
                check_json(request.headers)
            if body is None or admitted.principal.rights.limits.bytes:
                admitted, body = await self._receive(admitted, request, body)
            if make_message is not None:
                body = make_message(body)
            return await self._serve_body(admitted, body)
        except McpdError as error:
            return _refuse(error)

    async def serve_bare(self, request: Request, make_message: Callable[[bytes], bytes]) -> Answer:
        """A call of a client that knows HTTP and little else: no session, no revision. What its
        body says in ``_meta`` counts still.
        """
        try:
            admitted = await self._admit(request)
            admitted, body = await self._receive(admitted, request)
            call = decode(make_message(body))
            if not isinstance(call, Call):
                raise InvalidRequest("This path takes a request.")
            request.activity.method = call.method
            params = read_common(call.params)
            if params.names_modern:
                return await self._serve_call(admitted, call)
            caller = Caller(admitted.principal, NEWEST_HANDSHAKE)
            outcome = await serve(await admit_call(self._runtime, call, caller, params))
        except McpdError as error:
            return _refuse(error)
        return outcome_response(outcome, admitted.admission.accepted, modern=False)

    async def _receive(
        self, admitted: AuthenticatedRequest, request: Request, body: bytes | None = None
    ) -> tuple[AuthenticatedRequest, bytes]:
        """The body, counted, and the admission that holds once it is here."""
        if body is None:
            body = await request.body(self._max_body_bytes)
            if not self._admissions.still_hold(admitted):  # it took its time
                admitted = await self._admissions.admit(request)
        principal = admitted.principal
        await self._runtime.limits.count(principal.key, principal.rights.limits.bytes, len(body))
        return admitted, body

    async def _serve_body(self, admitted: AuthenticatedRequest, body: bytes) -> Answer:
        if is_batch(body):
            return await serve_batch(self._runtime, admitted, body)
        try:
            message = decode(body)
        except McpdError as error:
            return refusal(readable_id(body), error)
        admitted.request.activity.method = getattr(message, "method", "")
        if isinstance(message, Call):
            return await self._serve_call(admitted, message)
        if isinstance(message, Notification):
            return await self._accept_notification(admitted, message)
        return await self._accept_response(admitted, message)

    async def _serve_call(self, admitted: AuthenticatedRequest, call: Call) -> Answer:
        admission = admitted.admission
        modern = admitted.is_modern  # until the envelope is read
        params, caller = None, None
        try:
            params = read_common(call.params)
            key = caller_key(call, params)
            caller = None if key is None else admitted.recall_caller(key)
            if caller is None:
                envelope = classify(call, params, hint=admission.hint, served=self._eras)
                if envelope.begins_session:
                    return await self._initialize(admitted, call)
                modern = envelope.era is Era.MODERN
                caller = self._caller(admitted, call, envelope)
                if key is not None:
                    admitted.remember_caller(key, caller)
            modern = caller.revision.modern
            request = await admit_call(self._runtime, call, caller, params, admission.trace)
            self._check_mirrored(admitted, request)
        except EnvelopeFault as error:
            return refusal(call.id, error)
        except McpdError as error:
            tell_refused(self._runtime, call, admitted.principal, error, params, caller)
            return outcome_response(failed(call.id, error), admission.accepted, modern=modern)
        return await self._answer(admitted, request)

    def _caller(self, admitted: AuthenticatedRequest, call: Call, envelope: Envelope) -> Caller:
        if envelope.era is Era.HANDSHAKE:
            return admitted.handshake_caller()
        headers, versions = admitted.request.headers, self._runtime.catalog.versions
        return modern_caller(call, envelope.params, headers, admitted.principal, versions)

    def _check_mirrored(self, admitted: AuthenticatedRequest, request: McpRequest) -> None:
        """For a tool that is there for its caller: nothing tells of another one."""
        mirrored, params = self._runtime.catalog.mirrored, request.params
        if mirrored and request.call.method == "tools/call" and request.caller.revision.modern:
            parameters = None if request.target is None else mirrored.get(params.name)
            if parameters:
                check_mirrored(admitted.request.headers, parameters, params.given_arguments)

    async def _answer(self, admitted: AuthenticatedRequest, request: McpRequest) -> Answer:
        accepted, session = admitted.admission.accepted, request.caller.session
        http = admitted.request
        streams = accepted.events and request.may_stream
        if session is None:
            if streams:
                lasts_s, opener = self._admissions.left_s(admitted), admitted.admission.identity
                return call_stream(request, accepted, lasts_s=lasts_s, opener=opener)
            outcome = await serve(request)
        else:
            http.keep_on_disconnect()  # MCP 2025-03-26: no cancellation
            if streams:
                return kept_call_stream(request, session, accepted)
            outcome = await serve(request, stop=partial(http.cancel, CANCELLED))
        return outcome_response(outcome, accepted, modern=request.caller.revision.modern)

    async def _initialize(self, admitted: AuthenticatedRequest, call: Call) -> Answer:
        """Open a session, or keep the one that was registered."""
        if not self._handshake:
            raise UnsupportedProtocolVersion(
                "This server has no handshake.",
                fix="Speak a version that it supports.",
                data={"supported": self._runtime.catalog.versions},
            )
        if not admitted.is_modern:
            check_version_header(admitted.admission.version)
        return await initialize(self._runtime, admitted, call)

    async def _accept_notification(
        self, admitted: AuthenticatedRequest, notification: Notification
    ) -> Answer:
        if admitted.session is None:
            if admitted.is_modern:
                return ACCEPTED  # none is defined there over HTTP; unknown ones are ignored
            raise no_session()
        caller = admitted.handshake_caller()
        await handle_notification(McpNotification(self._runtime, notification, caller))
        return ACCEPTED

    async def _accept_response(
        self, admitted: AuthenticatedRequest, response: RpcResponse
    ) -> Answer:
        """The answer to a question of ours; one that is not waited for any more is dropped."""
        if admitted.is_modern:
            raise InvalidRequest("2026-07-28 has no responses from the client.")
        admitted.handshake_caller()
        if admitted.session is not None:
            await self._runtime.server_requests.deliver(admitted.session.id, response)
        return ACCEPTED

    async def _admit(self, request: Request) -> AuthenticatedRequest:
        """Admit a request, and count it for its user."""
        admitted = self._admissions.recall(request) or await self._admissions.admit(request)
        rules = admitted.principal.rights.limits.requests
        if rules:
            await self._runtime.limits.count(admitted.principal.key, rules)
        return admitted

    # --- GET and DELETE -----------------------------------------------------------------------

    async def get(self, request: Request) -> Answer:
        """The session's own stream, or the rest of a call's, by Last-Event-ID."""
        try:
            return await self._open_stream(request)
        except McpdError as error:
            return _refuse(error)

    async def _open_stream(self, request: Request) -> Answer:
        admitted, session = await self._admit_to_session(request, "GET opens its stream")
        revision = admitted.handshake_caller().revision
        last_seen = read_event_id(request.headers.one(b"last-event-id") or "")
        if last_seen is not None:
            stream = await find_call_stream(self._runtime, session.id, *last_seen, revision)
            if stream is not None:
                return stream
        own = last_seen is not None and last_seen[0] == SESSION_STREAM
        after = last_seen[1] if last_seen is not None and own else None
        lasts_s = self._admissions.left_s(admitted)
        opener = admitted.admission.identity
        return await session_stream(
            self._runtime, session, revision, after, lasts_s=lasts_s, opener=opener
        )

    async def delete(self, request: Request) -> Answer:
        """End the session."""
        try:
            _, session = await self._admit_to_session(request, "DELETE ends it")
            await self._runtime.sessions.end(session)
        except McpdError as error:
            return _refuse(error)
        return Response(204)

    async def _admit_to_session(
        self, request: Request, what: str
    ) -> tuple[AuthenticatedRequest, Session]:
        admitted = await self._admit(request)
        if not admitted.is_modern:
            check_version_header(admitted.admission.version)
            if admitted.session is not None:
                return admitted, admitted.session
        raise MethodNotAllowed(
            f"{what}, and no session is named.",
            fix="Send Mcp-Session-Id, or use POST: 2026-07-28 has no sessions.",
            headers=((b"allow", b"POST, GET, DELETE, OPTIONS"),),
        )


def _refuse(error: McpdError) -> Response:
    """Refuse what was no call that could be answered.

    Raises:
        McpdError: a refusal of the credential, which has OAuth's shape and a challenge.
    """
    if error.status in (401, 403):
        raise error
    return refusal(None, error)
