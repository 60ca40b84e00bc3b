"""Calls of the handshake era that can speak before they answer.

The call runs in a task of its own, because it must outlive its connection; its messages go to a
kept stream, and the connection follows that. A client whose connection broke comes back with a
GET and Last-Event-ID, here or to another process, to ``resume``.
"""

import trio

from mcpd.auth.principals import Principal
from mcpd.errors import HandlerTimeout, InternalError, McpdError
from mcpd.http import sse
from mcpd.http.messages import EventSink, EventStream, Response
from mcpd.mcp import dispatch
from mcpd.mcp.request import Job, Method, Services
from mcpd.mcp.revisions import Revision
from mcpd.mcp.streams.reader import End, Follower
from mcpd.mcp.streams.writer import CallStream, StreamLost
from mcpd.mcp.transports.wire import CANCELLED, Accepts, error_response, message_response
from mcpd.rpc.messages import Call, RequestId, encode_call, encode_error
from mcpd.sessions.log import (
    SESSION_STREAM,
    Event,
    KeptCall,
    event_id,
    new_stream_id,
    request_of,
)
from mcpd.sessions.record import Session, SessionId

OPEN_AFTER_S = 1.0  # a call that is still silent then gets its stream, and can be resumed


def keep(call: Call, principal: Principal, session_id: SessionId) -> KeptCall:
    """What is kept of a call."""
    return KeptCall(
        session_id,
        new_stream_id(session_id, call.id),
        encode_call(call),
        principal.subject,
        principal.issuer,
        tuple(sorted(principal.scopes)),
    )


def call_stream(job: Job, method: Method, session: Session, accepted: Accepts) -> EventStream:
    """The answer to a call that may stream; a call that sends nothing first is answered plainly."""
    streams, revision = job.services.streams, job.caller.revision

    async def run(sink: EventSink) -> Response | None:
        stream = streams.write(keep(job.call, job.caller.principal, session.id))
        with streams.follow(session.id, stream.id, 0, returning=False) as follower:
            job.services.running.start(_begin_call, job, method, stream)
            with trio.move_on_after(OPEN_AFTER_S):
                await stream.settled.wait()
            if not stream.settled.is_set():
                try:
                    await stream.open()
                except McpdError as error:  # nothing was sent yet, so this can be
                    return error_response(job.call.id, error, accepted, modern=False)
            if not stream.begun:
                return (
                    CANCELLED if stream.plain is None else message_response(stream.plain, accepted)
                )
            if revision.primes_streams:  # in one write with the head: without it none comes back
                await sink.send(sse.prime(event_id(stream.id, 0)))
            else:
                await sink.open()
            await _send_all(sink, follower, revision)
        return None

    return EventStream(run, sse.STREAM_HEADERS)


async def _begin_call(job: Job, method: Method, stream: CallStream) -> None:
    try:
        await serve_call(job, method, stream)
    finally:
        stream.give_up()  # does nothing to one that is finished


async def serve_call(job: Job, method: Method, stream: CallStream) -> None:
    """Run the call to its end, whoever listens.

    Cancellation: the stream stays unfinished, for another process to go on with.
    """
    limit_s = job.services.running.limit_s
    with trio.move_on_after(limit_s) as scope:

        async def notify(message: bytes) -> None:
            try:
                await stream.send(message)
            except StreamLost:
                scope.cancel()
            await trio.lowlevel.checkpoint()

        speaking = Job(job.services, job.call, job.caller, notify, stream)
        body: bytes | None = None
        try:
            body = await dispatch.answer(speaking, method)
        except McpdError as error:
            body = encode_error(job.call.id, error)
    if scope.cancelled_caught and not stream.lost:
        late = HandlerTimeout(f"The call took longer than {limit_s:g} s (request_timeout_s).")
        body = encode_error(job.call.id, late)
    try:
        await stream.finish(body)
    except StreamLost:
        return  # whoever has it now answers
    if stream.begun:
        await job.services.streams.log.forget_questions(stream.session_id, stream.id)


async def find_call(
    services: Services, session_id: SessionId, stream_id: str, after: int, revision: Revision
) -> EventStream | None:
    """The rest of a call's stream; None: the id names no call of this session.

    Raises:
        StoreError: that cannot be told now.
    """
    if stream_id == SESSION_STREAM:
        return None
    if await services.streams.log.read(session_id, stream_id, after) is not None:
        return resume(services, session_id, stream_id, after, revision)
    request_id = request_of(session_id, stream_id)
    return None if request_id is None else _lost(RequestId(request_id))


def _lost(request_id: RequestId) -> EventStream:
    """Nothing is known of the call any more, but whose answer is missing."""
    error = InternalError("The server lost this call, or kept its answer no longer.")

    async def run(sink: EventSink) -> None:
        await sink.send(sse.event(encode_error(request_id, error)))

    return EventStream(run, sse.STREAM_HEADERS)


def resume(
    services: Services, session_id: SessionId, stream_id: str, after: int, revision: Revision
) -> EventStream:
    """The rest of a stream whose connection broke, and what follows."""

    async def run(sink: EventSink) -> None:
        await sink.open()
        with (
            services.sessions.presence.hold(session_id),
            services.streams.follow(session_id, stream_id, after) as follower,
        ):
            await _send_all(sink, follower, revision)

    return EventStream(run, sse.STREAM_HEADERS)


async def _send_all(sink: EventSink, follower: Follower, revision: Revision) -> None:
    stream_id = follower.key[1]
    while event := await follower.next():
        if not await sink.send(_encode(stream_id, event, revision)):
            return  # its client is gone, and will come back for it
    if follower.end is End.CUT:  # the client comes back for the rest
        last = event_id(stream_id, follower.after) if revision.primes_streams else None
        await sink.send(sse.farewell(last, follower.place.retry_ms))


async def session_stream(
    services: Services, session: Session, revision: Revision, after: int | None
) -> EventStream:
    """What belongs to no call: changes of lists and of resources the session subscribed to.

    Raises:
        StoreError: it cannot be opened now.
    """
    streams = services.streams
    await services.broadcast.watch(session.id, session.subscriptions)
    start = await streams.log.last(session.id) if after is None else after
    seen = start

    async def run(sink: EventSink) -> None:
        nonlocal seen
        with services.sessions.presence.stream(session.id):
            await sink.open()
            with streams.follow(session.id, SESSION_STREAM, start) as follower:
                while event := await follower.next():
                    if not await sink.send(_encode(SESSION_STREAM, event, revision)):
                        return
                    seen = event.number

    def farewell(retry_ms: int) -> bytes:
        last = event_id(SESSION_STREAM, seen) if revision.primes_streams else None
        return sse.farewell(last, retry_ms)

    return EventStream(run, sse.STREAM_HEADERS, open_ended=True, farewell=farewell)


def _encode(stream_id: str, event: Event, revision: Revision) -> bytes:
    name = event_id(stream_id, event.number) if revision.resumable else None
    return sse.event(event.data, event_id=name)
