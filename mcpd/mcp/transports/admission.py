"""What the head of a request to an MCP endpoint decides: who sends it, in which session and era.

Clients repeat their heads byte for byte. What was decided is remembered with the head, for as long
as the credential in it holds, and is looked up the next time.
"""

import msgspec

from mcpd.auth.authenticator import Authenticator, Identity, sent_by
from mcpd.auth.principals import Principal
from mcpd.errors import PeerError
from mcpd.http.messages import Headers, Request
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.envelope.classify import Era, hinted_era
from mcpd.mcp.envelope.handshake import handshake_caller
from mcpd.mcp.envelope.headers import HEADER_VERSION, NAME_MEMBERS, session_named
from mcpd.mcp.envelope.params import KNOWN_META_BYTES, Params
from mcpd.mcp.revisions import HANDSHAKE
from mcpd.mcp.transports.wire import Accepts, is_json, read_accept
from mcpd.rpc.messages import Call
from mcpd.sessions.record import Session, SessionId
from mcpd.sessions.service import Sessions
from mcpd.trace_context import TraceContext, read_trace

KNOWN_CALLERS = 4  # of one head
KNOWN_NAME_CHARS = 256  # of what a call names, to be remembered
CallerKey = tuple[bytes, str, str]  # ``_meta`` as JSON, method, and what Mcp-Name mirrors


class Admission(msgspec.Struct, frozen=True):
    """All that the head alone decides.

    Attributes:
        generation: of the authenticator's table that admitted it.
        session_id: as it is named; None: it names none, or its era has none.
        version: MCP-Protocol-Version.
        hint: the era that the version suggests, or the only one served; the body decides.
        is_json: a body is JSON, as the head has it.
        trace: that its header fields name; what a body says counts before it.
        callers: who sends a request with this head, by what its body says of that; a client
            repeats both, byte for byte.
    """

    identity: Identity
    generation: int
    session_id: SessionId | None
    version: str | None
    hint: Era | None
    accepted: Accepts
    is_json: bool
    trace: TraceContext | None = None
    callers: dict[CallerKey, Caller] = {}


class AuthenticatedRequest(msgspec.Struct, frozen=True):
    """A request to an MCP endpoint that passed session, credential and owner."""

    request: Request
    admission: Admission
    session: Session | None

    @property
    def principal(self) -> Principal:
        """Who sends it."""
        return self.admission.identity.principal

    @property
    def is_modern(self) -> bool:
        """Whether it is of the era without sessions, as far as its head tells."""
        return self.admission.hint is Era.MODERN

    def handshake_caller(self) -> Caller:
        """Its caller, if it belongs to the handshake era.

        Raises:
            EnvelopeFault: see envelope.handshake.
        """
        return handshake_caller(self.session, self.principal, self.admission.version)

    def recall_caller(self, key: CallerKey) -> Caller | None:
        """The caller that was remembered under this key, unless its session has changed."""
        caller = self.admission.callers.get(key)
        return caller if caller is not None and caller.session is self.session else None

    def remember_caller(self, key: CallerKey, caller: Caller) -> None:
        """Keep a caller whose envelope passed every check."""
        callers = self.admission.callers
        if len(key[0]) <= KNOWN_META_BYTES and caller.session is self.session:
            if len(callers) >= KNOWN_CALLERS:
                callers.clear()
            callers[key] = caller


class Admissions:
    """Admit requests.

    Args:
        handshake: revisions with sessions are served; without them no session is looked up.
    """

    def __init__(
        self,
        sessions: Sessions,
        authenticator: Authenticator,
        *,
        handshake: bool,
    ) -> None:
        self._sessions = sessions
        self._authenticator = authenticator
        self._handshake = handshake

    def left_s(self, admitted: "AuthenticatedRequest") -> float:
        """Seconds for which the credential of a request still holds."""
        return self._authenticator.left_s(admitted.admission.identity)

    def still_hold(self, admitted: AuthenticatedRequest) -> bool:
        """Whether the admission of a request counts still."""
        known = admitted.admission
        return self._authenticator.holds(known.identity, known.generation)

    def recall(self, request: Request) -> AuthenticatedRequest | None:
        """What ``admit`` would return, if all of it is remembered; None: ask ``admit``."""
        known: Admission | None = request.memory.get(Admission)
        if known is None or not self._authenticator.holds(known.identity, known.generation):
            return None
        principal, session = known.identity.principal, None
        if known.session_id is not None:
            session = self._sessions.recall(known.session_id, principal)
            if session is None:
                return None
            request.activity.session = known.session_id
        request.activity.user = principal.subject
        self._authenticator.note_use(known.identity)
        return AuthenticatedRequest(request, known, session)

    async def admit(self, request: Request) -> AuthenticatedRequest:
        """Check a request's session, credential and owner, in this order: a client whose session is
        gone learns just that, before anything costly.

        Raises:
            SessionNotFound: the session is gone, or belongs to another principal.
            Unauthorized, InsufficientScope: see ``Authenticator.authenticate``.
            StoreError: that cannot be told now.
        """
        known: Admission | None = request.memory.get(Admission)
        version = request.headers.one(HEADER_VERSION)
        session_id = self._session_named(request.headers, version)
        session = await self._find(request, session_id)
        if known is None or not self._authenticator.holds(known.identity, known.generation):
            known = request.memory[Admission] = await self._decide(request, session_id, version)
        principal = known.identity.principal
        request.activity.user = principal.subject
        if session is not None:
            session = await self._sessions.claim(session, principal)
        return AuthenticatedRequest(request, known, session)

    def _session_named(self, headers: Headers, version: str | None) -> str | None:
        """A modern request names no session (2026-07-28); what it says of one is checked still."""
        if not self._handshake:
            return None
        named = session_named(headers)
        return None if version is not None and version not in HANDSHAKE else named

    async def _find(self, request: Request, session_id: str | None) -> Session | None:
        if session_id is None:
            return None
        request.activity.session = session_id[:64]
        return await self._sessions.find(session_id)

    async def _decide(
        self, request: Request, session_id: str | None, version: str | None
    ) -> Admission:
        generation = self._authenticator.generation
        try:
            identity = await self._authenticator.authenticate(sent_by(request))
        except PeerError as error:
            request.activity.user, request.activity.credential = error.user, error.credential
            raise
        return Admission(
            identity,
            generation,
            None if session_id is None else SessionId(session_id),
            version,
            hinted_era(version) if self._handshake else Era.MODERN,
            read_accept(request.headers.joined(b"accept")),
            is_json(request.headers),
            _trace_of(request.headers),
        )


def _trace_of(headers: Headers) -> TraceContext | None:
    parent = headers.one(b"traceparent")
    if parent is None:
        return None
    return read_trace(parent, headers.joined(b"tracestate"), headers.joined(b"baggage"))


def caller_key(call: Call, params: Params) -> CallerKey | None:
    """What of a body decides who its caller is; None: it is not remembered."""
    member = NAME_MEMBERS.get(call.method)
    name = "" if member is None else params.member(member)
    if type(name) is not str or len(name) > KNOWN_NAME_CHARS or call.method == "initialize":
        return None
    return (bytes(params.raw_meta), call.method, name)
