"""Arrays of messages, which 2025-03-26 has and no other revision (JSON-RPC 2.0, section 6)."""

import trio

from mcpd.errors import InvalidRequest, McpdError
from mcpd.http.messages import Answer
from mcpd.mcp import exchange
from mcpd.mcp.caller import Caller
from mcpd.mcp.job import Job, NoticeJob, Services
from mcpd.mcp.transports.handshake import Arrival, handshake_caller
from mcpd.mcp.transports.wire import ACCEPTED, message_response
from mcpd.rpc.messages import Call, Message, Notice, decode_batch, encode_batch, encode_error

MAX_BATCH = 100
BATCH_AT_ONCE = 10


async def take_batch(services: Services, arrival: Arrival, body: bytes) -> Answer:
    """Serve every message, some at once; the answers come in one array, in order.

    Raises:
        McpdError: the batch as a whole cannot be served.
    """
    caller = handshake_caller(arrival)
    if not caller.revision.batches:
        raise InvalidRequest(
            f"{caller.revision.name} has no batches.", fix="Send one message in each POST."
        )
    arrival.request.keep_on_disconnect()
    messages = decode_batch(body, max_messages=MAX_BATCH)
    answers: dict[int, bytes] = {}
    limit = trio.CapacityLimiter(BATCH_AT_ONCE)

    async def serve(place: int, message: Message | McpdError) -> None:
        async with limit:
            answer = await _answer(services, message, caller)
        if answer is not None:
            answers[place] = answer

    async with trio.open_nursery() as nursery:
        for place, message in enumerate(messages):
            nursery.start_soon(serve, place, message)
    if not answers:
        return ACCEPTED
    return message_response(
        encode_batch([answers[place] for place in sorted(answers)]), arrival.accepted
    )


async def _answer(services: Services, message: Message | McpdError, caller: Caller) -> bytes | None:
    if isinstance(message, McpdError):
        return encode_error(None, message)
    if isinstance(message, Call):
        if message.method == "initialize":
            return encode_error(message.id, InvalidRequest("initialize is never in a batch."))
        return await exchange.answer_or_error(Job(services, message, caller))
    if isinstance(message, Notice):
        try:
            await exchange.take_notice(NoticeJob(services, message, caller))
        except McpdError:
            return None  # a notification is never answered
    return None
