"""One message in, one outcome out: the core. It knows methods, not transports.

A new area of MCP is a file in ``methods`` and a line here.
"""

import logging as stdlib_logging
from time import perf_counter

import msgspec
import trio

from mcpd.auth.principals import Principal
from mcpd.errors import McpdError, MethodNotFound, fault
from mcpd.events import CallBegan, CallServed
from mcpd.mcp.catalog.tool_results import EncodedResult
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.envelope.params import Params
from mcpd.mcp.in_flight import InFlight, Stop
from mcpd.mcp.methods import (
    completion,
    lifecycle,
    logging,
    prompts,
    resources,
    subscriptions,
    tasks,
    tools,
)
from mcpd.mcp.permission import permitted
from mcpd.mcp.questions.conversation import Outlet
from mcpd.mcp.request import McpNotification, McpRequest, Method
from mcpd.mcp.revisions import VERSION_NAMES
from mcpd.mcp.runtime import Runtime
from mcpd.observer import current
from mcpd.rpc.messages import Call, RequestId, encode_error, encode_result
from mcpd.sessions.record import SessionId
from mcpd.trace_context import TraceContext

METHODS: dict[str, Method] = {
    **lifecycle.METHODS,
    **tools.METHODS,
    **resources.METHODS,
    **prompts.METHODS,
    **completion.METHODS,
    **logging.METHODS,
    **subscriptions.METHODS,
    **tasks.METHODS,
}
NOTIFICATIONS = lifecycle.NOTIFICATIONS

FAREWELL_S = 1.0  # for the last message of a request that the server ends

log = stdlib_logging.getLogger("mcpd.mcp")


class Outcome(msgspec.Struct, frozen=True):
    """What came of a request.

    Attributes:
        response: encoded; None: the client cancelled the request and gets none.
        error: what the response says, if it is an error: a transport may have a status for it.
        is_error: the response is the result of a tool that failed.
    """

    response: bytes | None
    error: McpdError | None = None
    is_error: bool = False


CANCELLED = Outcome(None)


def failed(request_id: RequestId | None, error: McpdError) -> Outcome:
    """The outcome that an error is."""
    return Outcome(encode_error(request_id, error), error)


def find_method(name: str, caller: Caller) -> Method:
    """The method of this name, in the caller's revision.

    Raises:
        MethodNotFound: it does not exist there.
    """
    method, revision = METHODS.get(name), caller.revision
    exists = method is not None and (method.modern if revision.modern else method.handshake)
    if method is None or not exists or (method.needs_tasks and not revision.tasks):
        raise MethodNotFound(
            f"The method {name[:64]} does not exist in {revision.name}.",
            data={"supported": VERSION_NAMES} if name == "initialize" else None,
        )
    return method


def make_request(runtime: Runtime, call: Call, caller: Caller, params: Params) -> McpRequest:
    """A request with its method and what it names.

    Raises:
        MethodNotFound: see ``find_method``.
        InsufficientScope: its caller's credential does not reach what it names.
        McpdError: the look-up of what it names failed.
    """
    method, rights = find_method(call.method, caller), caller.principal.rights
    try:
        target = None if method.find is None else method.find(runtime.catalog, params, rights)
        if target is not None:
            target = permitted(method.kind, target, caller.principal)
    except McpdError:
        raise
    except Exception:
        log.exception("%s failed", call.method)
        raise fault(current.get().id) from None
    return McpRequest(runtime, call, caller, params, method, target)


async def admit_call(
    runtime: Runtime,
    call: Call,
    caller: Caller,
    params: Params,
    trace: TraceContext | None = None,
) -> McpRequest:
    """A request as ``make_request`` makes it, once it is counted for its caller.

    Args:
        trace: of its transport; what its params say counts before it.

    Raises:
        TooManyRequests: it is one too many, by a limit that it names.
        MethodNotFound, InsufficientScope: see ``make_request``.
    """
    request = make_request(runtime, call, caller, params)
    trace = params.meta.trace or trace
    if trace is not None:
        current.get().context = trace
    if request.method.costs:
        user, target = caller.principal.rights.limits, request.target
        rules = user.calls
        if user.has_tools and target is not None:
            rules = user.calls_of(target.part.name)
        key, limits = caller.principal.key, runtime.limits
        counted = limits.count_now(key, rules)
        if counted < len(rules):
            await limits.count(key, rules, counted=counted)
    return request


async def serve(
    request: McpRequest, outlet: Outlet | None = None, *, stop: Stop | None = None
) -> Outcome:
    """Serve a request to its end; an error is an outcome too.

    Args:
        outlet: for what it sends before its result; None: it cannot.
        stop: cancels the task that serves it, when its client cancels the request; None: it gets
            a scope of its own, which costs more.

    Cancellation: reaches the tool, and there is no outcome.
    """
    session, in_flight = request.caller.session, request.runtime.in_flight
    if not request.method.may_stream:
        session = None  # it cannot be cancelled
    if session is not None and stop is None:
        with trio.CancelScope() as scope:
            return await serve(request, outlet, stop=scope.cancel)
        return CANCELLED
    observer = request.runtime.observer
    began = perf_counter() if observer.hears(CallServed) else 0.0
    outcome = CANCELLED
    call = None if session is None or stop is None else _in_flight(request, session.id, stop)
    try:
        if call is not None:
            in_flight.begin(call)
    except McpdError as error:  # too many run
        return failed(request.call.id, error)
    if observer.hears(CallBegan):
        observer.tell(_began(request))
    try:
        outcome = await _respond(request, outlet)
    finally:
        if call is not None:
            in_flight.end(call)
        if observer.hears(CallServed):
            observer.tell(_served(request, outcome, perf_counter() - began))
    return outcome


def _in_flight(request: McpRequest, session_id: SessionId, stop: Stop) -> InFlight:
    """In a session a call can be found by its id, to be cancelled."""
    owner, size = request.caller.principal.key, len(request.call.params)
    return InFlight(session_id, request.call.id, owner, size, stop)


def _began(request: McpRequest) -> CallBegan:
    caller, session, target = request.caller, request.caller.session, request.target
    return CallBegan(
        activity=current.get(),
        method=request.call.method,
        target="" if target is None else target.part.name,
        session="" if session is None else session.id,
        request_id=bytes(request.call.id),
        revision=caller.revision.name,
    )


def _served(request: McpRequest, outcome: Outcome, seconds: float) -> CallServed:
    caller, session, target = request.caller, request.caller.session, request.target
    return CallServed(
        activity=current.get(),
        principal=caller.principal.key,
        session="" if session is None else session.id,
        method=request.call.method,
        target="" if target is None else target.part.name,
        code=0 if outcome.error is None else outcome.error.rpc_code,
        is_error=outcome.is_error,
        cancelled=outcome.response is None,
        seconds=seconds,
        credential=caller.principal.credential,
        client=caller.client,
        client_version=caller.client_version,
        revision=caller.revision.name,
        size_in=len(request.call.params),
        size_out=0 if outcome.response is None else len(outcome.response),
        arguments=b"" if request.method.find is None else request.params.arguments,
    )


def tell_refused(
    runtime: Runtime,
    call: Call,
    principal: Principal,
    error: McpdError,
    params: Params | None = None,
    caller: Caller | None = None,
) -> None:
    """A call was refused before it had a handler. Names that this server does not know are not
    repeated.

    Args:
        params, caller: as far as they were read.
    """
    name, catalog = None if params is None else params.name, runtime.catalog
    known = isinstance(name, str) and (name in catalog.tools or name in catalog.prompts)
    runtime.observer.tell(
        CallServed(
            activity=current.get(),
            principal=principal.key,
            session=current.get().session,
            method=call.method if call.method in METHODS else "_OTHER",
            target=str(name) if known else "",
            code=error.rpc_code,
            is_error=False,
            cancelled=False,
            seconds=0.0,
            credential=principal.credential,
            client="" if caller is None else caller.client,
            client_version="" if caller is None else caller.client_version,
            revision="" if caller is None else caller.revision.name,
            size_in=len(call.params),
            status=error.status if error.status in (403, 429) else 0,
            reason=str(error.data.get("limit", error.slug)),
        )
    )


async def _respond(request: McpRequest, outlet: Outlet | None) -> Outcome:
    call = request.call
    try:
        result, encoded = request.complete(await request.method.handle(request, outlet))
    except McpdError as error:
        return failed(call.id, error)
    except Exception:
        log.exception("%s failed", call.method)
        return failed(call.id, fault(current.get().id))
    is_error = isinstance(result, EncodedResult) and result.is_error
    return Outcome(encode_result(call.id, encoded), is_error=is_error)


async def say_farewell(request: McpRequest, outlet: Outlet) -> None:
    """Send the result of a request that the server ends, if its method has one for that.

    Cancellation: none for FAREWELL_S, since the request's own scope is cancelled already.
    """
    if request.method.farewell is not None:
        with trio.move_on_after(FAREWELL_S, shield=True):
            result = request.encode(request.method.farewell(request))
            await outlet.send(encode_result(request.call.id, result))


async def handle_notification(notification: McpNotification) -> None:
    """Act on a notification; unknown ones are ignored (JSON-RPC 2.0, section 4.1).

    Raises:
        McpdError: it could not be accepted.
    """
    handler = NOTIFICATIONS.get(notification.notification.method)
    if handler is not None:
        await handler(notification)
