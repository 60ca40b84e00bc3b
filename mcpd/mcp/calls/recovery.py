"""Calls whose process is gone: another one goes on with them when their client comes back.

A call that does no harm when it runs twice is run again: it is told what the client answered to
the first run, and does not ask that again. Any other call is answered with what can be said.
"""

import logging
from functools import partial

from mcpd.auth.principals import Principal
from mcpd.errors import InternalError, McpdError, StoreError, Unauthorized
from mcpd.events import CallRecovered
from mcpd.mcp.calls.run import finish, run
from mcpd.mcp.catalog.tool_results import error_result
from mcpd.mcp.dispatch import Outcome, failed, make_request
from mcpd.mcp.envelope.caller import caller_of_session
from mcpd.mcp.envelope.params import read_common
from mcpd.mcp.request import McpRequest
from mcpd.mcp.revisions import ASSUMED_WITHOUT_HEADER, HANDSHAKE
from mcpd.mcp.runtime import Runtime
from mcpd.mcp.streams.writer import CallWriter, StreamLost
from mcpd.rpc.messages import Call, decode, encode_error, encode_result
from mcpd.sessions.retry import retry_while_away
from mcpd.sessions.streams import Event, KeptCall, StreamKey

log = logging.getLogger("mcpd.mcp")

INTERRUPTED = (
    "The server process that ran this call ended before the call was done. It is not known how"
    " far it got: see what it has changed before you call again."
)


async def take_over(runtime: Runtime, key: StreamKey) -> None:
    """Begin to go on with a call if its process is gone; its writer is there when this returns.

    Cancellation: what was claimed is gone on with.
    """
    if runtime.streams.ownership is None:
        return
    kept = await runtime.streams.ownership.claim(key)
    if kept is not None:
        runtime.in_flight.start(_try, runtime, kept, runtime.streams.open_writer(kept))


async def _try(runtime: Runtime, kept: KeptCall, writer: CallWriter) -> None:
    try:
        await _go_on(runtime, kept, writer)
    finally:
        writer.give_up()


async def _go_on(runtime: Runtime, kept: KeptCall, writer: CallWriter) -> None:
    writer.take_over(await _written(runtime, kept))
    call = decode(kept.request)
    if not isinstance(call, Call):
        raise TypeError("only calls are kept")
    try:
        request = await _request(runtime, kept, call)
    except McpdError as error:
        await _answer_alone(writer, encode_error(call.id, error))
        return
    method = request.method
    if method.repeatable is not None and method.repeatable(request):
        log.info("going on with %s, whose process is gone", call.method)
        runtime.observer.tell(CallRecovered("repeated"))
        await run(request, writer)
        return
    log.warning("%s was interrupted: its process is gone", call.method)
    runtime.observer.tell(CallRecovered("interrupted"))
    try:
        await finish(request, writer, _interrupted(request))
    except StoreError as error:
        _not_answered(error)


async def _written(runtime: Runtime, kept: KeptCall) -> list[Event]:
    """What the process that is gone has sent."""
    read = partial(runtime.streams.events.read, kept.session_id, kept.stream_id)
    events: list[Event] = []
    while page := await retry_while_away(partial(read, events[-1].number if events else 0)):
        if not page.events:
            break
        events += page.events
    return events


async def _request(runtime: Runtime, kept: KeptCall, call: Call) -> McpRequest:
    """The request as it was made, by the principal that made it.

    Raises:
        Unauthorized, InsufficientScope: it may not make it any more.
        SessionNotFound: its session is over.
        StoreError: the store stayed away.
    """
    session = await retry_while_away(lambda: runtime.sessions.find(kept.session_id))
    shown = Principal(
        kept.subject, kept.issuer, frozenset(kept.scopes), kept.token_type, kept.credential
    )
    if runtime.access.is_withdrawn(shown):
        raise Unauthorized("The credential of this call was revoked.")
    principal = runtime.access.grant(shown)  # by the rules of now
    revision = HANDSHAKE.get(session.revision or "", ASSUMED_WITHOUT_HEADER)
    caller = caller_of_session(session, principal, revision)
    return make_request(runtime, call, caller, read_common(call.params))


def _interrupted(request: McpRequest) -> Outcome:
    call = request.call
    if call.method == "tools/call":
        ends = request.runtime.catalog.result_ends
        result = error_result(INTERRUPTED, request.caller.revision, ends)
        return Outcome(encode_result(call.id, result.data), is_error=True)
    return failed(call.id, InternalError(INTERRUPTED))


async def _answer_alone(writer: CallWriter, response: bytes) -> None:
    try:
        await writer.finish(response)
    except (StreamLost, StoreError) as error:
        _not_answered(error)


def _not_answered(error: Exception) -> None:
    log.warning("an interrupted call could not be answered: %s", type(error).__name__)
