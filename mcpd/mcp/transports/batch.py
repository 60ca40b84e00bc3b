"""Arrays of messages, which 2025-03-26 has and no other revision (JSON-RPC 2.0, section 6)."""

import logging
from collections.abc import Awaitable, Callable

import trio
from msgspec.structs import replace

from mcpd.errors import InvalidRequest, McpdError
from mcpd.http.messages import Answer
from mcpd.mcp.dispatch import admit_call, handle_notification, serve
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.envelope.params import read_common
from mcpd.mcp.request import McpNotification
from mcpd.mcp.revisions import V2026_07_28, Revision
from mcpd.mcp.runtime import Runtime
from mcpd.mcp.transports.admission import AuthenticatedRequest
from mcpd.mcp.transports.wire import ACCEPTED, message_response
from mcpd.observer import current
from mcpd.rpc.messages import (
    Call,
    Message,
    Notification,
    RpcResponse,
    decode_batch,
    encode_batch,
    encode_error,
)

log = logging.getLogger("mcpd.mcp")

MAX_BATCH = 100
BATCH_AT_ONCE = 10


async def answer_batch(
    body: bytes, answer: Callable[[Message], Awaitable[bytes | None]]
) -> bytes | None:
    """Serve every message, some at once; the answers in one array, in order; None: none is due.

    Raises:
        McpdError: the batch as a whole cannot be served.
    """
    messages = decode_batch(body, max_messages=MAX_BATCH)
    answers: dict[int, bytes] = {}
    limit = trio.CapacityLimiter(BATCH_AT_ONCE)

    async def serve(place: int, message: Message | McpdError) -> None:
        if isinstance(message, McpdError):
            response: bytes | None = encode_error(None, message)
        elif isinstance(message, Call) and message.method == "initialize":
            response = encode_error(message.id, InvalidRequest("initialize is never in a batch."))
        else:
            async with limit:
                response = await answer(message)
        if response is not None:
            answers[place] = response

    async with trio.open_nursery() as nursery:
        for place, message in enumerate(messages):
            nursery.start_soon(serve, place, message)
    return encode_batch([answers[place] for place in sorted(answers)]) if answers else None


def check_batches(revision: Revision) -> None:
    """Refuse an array in a revision without them.

    Raises:
        InvalidRequest: it is one of those.
    """
    if not revision.batches:
        raise InvalidRequest(f"{revision.name} has no batches.", fix="Send each message alone.")


async def serve_batch(runtime: Runtime, admitted: AuthenticatedRequest, body: bytes) -> Answer:
    """Serve a batch that came by POST.

    Raises:
        McpdError: the batch as a whole cannot be served.
    """
    if admitted.is_modern:
        check_batches(V2026_07_28)
    caller = admitted.handshake_caller()
    check_batches(caller.revision)
    admitted.request.keep_on_disconnect()
    answers = await answer_batch(body, lambda message: _answer(runtime, message, caller))
    if answers is None:
        return ACCEPTED
    return message_response(answers, admitted.admission.accepted)


async def _answer(runtime: Runtime, message: Message, caller: Caller) -> bytes | None:
    if isinstance(message, Call):
        current.set(replace(current.get(), method=message.method, context=None, span=None))
        try:
            principal = caller.principal
            await runtime.limits.count(principal.key, principal.rights.limits.requests)
            params = read_common(message.params)
            return (await serve(await admit_call(runtime, message, caller, params))).response
        except McpdError as error:
            return encode_error(message.id, error)
    if isinstance(message, Notification):
        try:
            await handle_notification(McpNotification(runtime, message, caller))
        except McpdError:
            return None  # a notification is never answered
    if isinstance(message, RpcResponse) and caller.session is not None:
        try:
            await runtime.server_requests.deliver(caller.session.id, message)
        except McpdError as error:
            log.warning("an answer in a batch is lost: %s", error.message)
    return None
