"""initialize over Streamable HTTP: it opens a session, or begins the one that was registered."""

import msgspec

from mcpd.events import SessionBegun
from mcpd.http.messages import Answer
from mcpd.mcp.envelope.headers import HEADER_SESSION
from mcpd.mcp.methods.lifecycle import initialize_result, negotiated, read_initialize
from mcpd.mcp.revisions import HANDSHAKE
from mcpd.mcp.runtime import Runtime
from mcpd.mcp.transports.admission import AuthenticatedRequest
from mcpd.mcp.transports.opening import opened_by_initialize
from mcpd.mcp.transports.wire import message_response
from mcpd.rpc.messages import Call, encode_result
from mcpd.sessions.record import Move


async def initialize(runtime: Runtime, admitted: AuthenticatedRequest, call: Call) -> Answer:
    """Open a session, or keep the one that was registered.

    Raises:
        InvalidParams: the params do not fit.
        TooManyRequests: its user begins too many.
        StoreError: it could not be kept.
    """
    changes, sessions = negotiated(read_initialize(call.params)), runtime.sessions
    principal = admitted.principal
    await runtime.limits.count(principal.key, principal.rights.limits.sessions)
    if admitted.session is None:
        session = opened_by_initialize(admitted.request, principal, changes, now=sessions.clock())
        await sessions.open(session)
    else:
        session = await sessions.move(admitted.session, Move.INITIALIZE, **changes)
    admitted.request.activity.session = session.id
    runtime.observer.tell(SessionBegun(changes["revision"]))
    result = initialize_result(runtime.catalog, HANDSHAKE[changes["revision"]])
    body = encode_result(call.id, msgspec.json.encode(result))
    headers = ((HEADER_SESSION, session.id.encode("ascii")),)
    return message_response(body, admitted.admission.accepted, headers)
