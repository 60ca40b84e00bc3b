"""The rest of a call's stream, for a client that comes back with Last-Event-ID.

The stream may be written by this process, or by another one, which may be gone: then this one takes
the call over (``recovery``) and the client reads what comes of that.
"""

from mcpd.errors import InternalError
from mcpd.mcp.calls.recovery import take_over
from mcpd.mcp.runtime import Runtime
from mcpd.mcp.streams.reader import End, Reader
from mcpd.rpc.messages import RequestId, encode_error
from mcpd.sessions.record import SessionId
from mcpd.sessions.stream_ids import request_of
from mcpd.sessions.streams import SESSION_STREAM, Event


async def is_known(runtime: Runtime, session_id: SessionId, stream_id: str, after: int) -> bool:
    """Whether there is a call's stream of this id, which can be read on.

    Raises:
        StoreError: that cannot be told now.
    """
    if stream_id == SESSION_STREAM:
        return False
    return await runtime.streams.events.read(session_id, stream_id, after) is not None


def lost_answer(session_id: SessionId, stream_id: str) -> bytes | None:
    """The answer to a call of which nothing is known but its id; None: the id is not one of this
    session's calls.
    """
    request_id = request_of(session_id, stream_id)
    if request_id is None:
        return None
    error = InternalError("The server lost this call, or kept its answer no longer.")
    return encode_error(RequestId(request_id), error)


async def next_events(runtime: Runtime, reader: Reader) -> list[Event]:
    """Like ``Reader.next``; a call whose process is gone is taken over meanwhile.

    Cancellation: nothing is lost.
    """
    while True:
        events = await reader.next()
        if events or reader.end is not End.UNWRITTEN:
            return events
        await take_over(runtime, reader.key)
        await reader.wait_for_news()
