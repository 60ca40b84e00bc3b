"""A Context for the function that serves a request, and questions that end its run."""

from collections.abc import Awaitable, Callable

from mcpd.app.context import Context
from mcpd.mcp.catalog.provider import Provider
from mcpd.mcp.questions.conversation import Asker, CallConversation, Outlet
from mcpd.mcp.questions.input_required import InputRounds, find_required
from mcpd.mcp.questions.session_asker import SessionAsker
from mcpd.mcp.request import McpRequest, Result

Run = Callable[[Context | None], Awaitable[Result]]


async def with_context(
    request: McpRequest, provider: Provider, outlet: Outlet | None, run: Run
) -> Result:
    """Run with a Context. What the function asks the client becomes a request on its stream in
    the handshake era, and the result in the modern one.

    Raises:
        InvalidParams: a retry whose state or answers are not acceptable.
        Exception: whatever ``run`` raises.
    """
    if not request.caller.revision.modern:
        return await run(_context(request, provider, outlet, _session_asker(request, outlet)))
    rounds = InputRounds(
        request.call, request.params, request.caller.principal, request.runtime.sealer
    )
    try:
        return await run(_context(request, provider, outlet, rounds))
    except BaseException as error:
        required = find_required(error)
        if required is None:
            raise
        return rounds.result(required)


def _context(
    request: McpRequest, provider: Provider, outlet: Outlet | None, asker: Asker | None
) -> Context:
    token = request.params.meta.progress_token
    conversation = CallConversation(request.caller, token, outlet, asker)
    return Context(conversation, request.runtime.catalog.states.get(provider))


def _session_asker(request: McpRequest, outlet: Outlet | None) -> Asker | None:
    session = request.caller.session
    if session is None or outlet is None:
        return None
    requests = request.runtime.server_requests
    return SessionAsker(requests, request.caller, session.id, outlet, outlet.writer)
