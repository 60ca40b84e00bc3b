"""One message in, one answer out: the core. It knows methods, not transports.

A new area of MCP is a file in ``methods`` and a line here.
"""

import logging as stdlib_logging

from mcpd.errors import InternalError, McpdError, MethodNotFound
from mcpd.http.messages import current_request_id
from mcpd.mcp.encoding import encode
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
from mcpd.mcp.request import Job, Method, NoticeJob
from mcpd.mcp.revisions import VERSION_NAMES
from mcpd.rpc.messages import encode_error, encode_result

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
NOTICES = lifecycle.NOTICES

log = stdlib_logging.getLogger("mcpd.mcp")


def find_method(job: Job) -> Method:
    """The method of a job, in its revision's era.

    Raises:
        MethodNotFound: it does not exist there.
    """
    method, revision = METHODS.get(job.call.method), job.caller.revision
    exists = method is not None and (method.modern if revision.modern else method.handshake)
    if method is None or not exists or (method.needs_tasks and not revision.tasks):
        raise MethodNotFound(
            f"The method {job.call.method[:64]} does not exist in {job.caller.revision.name}.",
            data={"supported": VERSION_NAMES} if job.call.method == "initialize" else None,
        )
    return method


def may_stream(job: Job, method: Method) -> bool:
    """Whether serving the job may send notifications before its result."""
    return method.streams is not None and method.streams(job)


async def answer(job: Job, method: Method) -> bytes | None:
    """The encoded response; None: the client cancelled the call and gets none.

    Raises:
        McpdError: to be put into the transport's words; a fault of ours is logged first.

    Cancellation: reaches the tool; nothing is answered.
    """
    session = job.caller.session
    if session is None or method.streams is None:
        return await _respond(job, method)
    with job.services.running.track(session.id, job.call.id) as tracked:
        response = await _respond(job, method)
    return None if tracked.cancelled else response


async def answer_or_error(job: Job) -> bytes | None:
    """Like ``answer``, with errors encoded too: for batches."""
    try:
        return await answer(job, find_method(job))
    except McpdError as error:
        return encode_error(job.call.id, error)


async def _respond(job: Job, method: Method) -> bytes:
    try:
        return encode_result(job.call.id, encode(job, await method.handle(job)))
    except McpdError:
        raise
    except Exception as error:
        log.exception("%s failed", job.call.method)
        raise InternalError(f"A fault of this server, logged as {current_request_id()}.") from error


async def take_notice(job: NoticeJob) -> None:
    """Act on a notification; unknown ones are ignored (JSON-RPC 2.0, section 4.1).

    Raises:
        McpdError: it could not be accepted.
    """
    handler = NOTICES.get(job.notice.method)
    if handler is not None:
        await handler(job)
