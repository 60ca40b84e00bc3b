"""Calls of the handshake era that can speak before they answer.

The call runs in a task of its own, because it must outlive its connection; its messages go to a
kept stream, and the connection follows that. A client whose connection broke comes back with a GET
and Last-Event-ID, here or in ``resume``.
"""

import trio

from mcpd.errors import McpdError
from mcpd.http import sse
from mcpd.http.messages import EventSink, EventStream, Response
from mcpd.mcp import exchange
from mcpd.mcp.job import Job, Method, Services
from mcpd.mcp.revisions import Revision
from mcpd.mcp.streams import Event, Stream
from mcpd.mcp.transports.wire import CANCELLED, Accepts, message_response
from mcpd.rpc.messages import encode_error
from mcpd.sessions.record import Session


def call_stream(job: Job, method: Method, session: Session, accepted: Accepts) -> EventStream:
    """The answer to a call that may stream; a call that sends nothing first is answered plainly."""
    revision, streams = job.caller.revision, job.services.streams

    async def run(sink: EventSink) -> Response | None:
        stream = streams.open(session.id)
        job.services.running.start(_serve, job, method, stream)
        first = True
        with stream.follow(0) as follower:
            while event := await follower.next():
                if first and stream.finished_at is not None and stream.last == event.number:
                    streams.discard(session.id, stream)
                    return message_response(event.data, accepted)
                if first and revision.primes_streams:
                    await sink.send(sse.prime(stream.event_id(0)))
                first = False
                await sink.send(_encode(event, revision))
        if first and stream.finished_at is not None:
            return CANCELLED
        if stream.finished_at is None:  # cut: the client comes back for the rest
            if first:
                await sink.send(sse.prime(stream.event_id(0)))
            await sink.send(sse.retry(stream.retry_ms))
        return None

    return EventStream(run, sse.STREAM_HEADERS)


async def _serve(job: Job, method: Method, stream: Stream) -> None:
    """Run the call to its end, whoever listens."""

    async def notify(message: bytes) -> None:
        stream.append(message)
        await trio.lowlevel.checkpoint()

    speaking = Job(job.services, job.call, job.caller, notify, stream)
    body: bytes | None = None
    try:
        body = await exchange.answer(speaking, method)
    except McpdError as error:
        body = encode_error(job.call.id, error)
    finally:
        stream.finish(body)


def resume(stream: Stream, after: int, revision: Revision) -> EventStream:
    """The rest of a stream whose connection broke, and what follows."""

    async def run(sink: EventSink) -> None:
        await sink.open()
        with stream.follow(after) as follower:
            while event := await follower.next():
                await sink.send(_encode(event, revision))
        if stream.finished_at is None:
            await sink.send(sse.retry(stream.retry_ms))

    return EventStream(run, sse.STREAM_HEADERS)


def session_stream(
    services: Services, session: Session, revision: Revision, after: int | None
) -> EventStream:
    """What belongs to no call: changes of lists and of resources the session subscribed to."""
    stream = services.streams.of_session(session.id)
    services.broadcast.keep_for_session(session.id, set(session.subscriptions), stream)

    async def run(sink: EventSink) -> None:
        with services.sessions.presence.stream(session.id):
            await sink.open()
            with stream.follow(stream.last if after is None else after) as follower:
                while event := await follower.next():
                    await sink.send(_encode(event, revision))

    return EventStream(run, sse.STREAM_HEADERS, open_ended=True)


def _encode(event: Event, revision: Revision) -> bytes:
    return sse.event(event.data, event_id=event.id if revision.resumable else None)
