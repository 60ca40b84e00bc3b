"""Answers of Streamable HTTP that are event streams: what ``calls`` and ``streams`` give.

A call that may send something before its result is answered with a stream, and with a plain
response if it sent nothing.
"""

import trio

from mcpd.auth.authenticator import Identity
from mcpd.errors import McpdError, StoreError
from mcpd.events import StreamResumed
from mcpd.http import sse
from mcpd.http.messages import EventSink, EventStream, Response
from mcpd.mcp.calls.resume import is_known, lost_answer, next_events
from mcpd.mcp.calls.run import kept_call, start
from mcpd.mcp.dispatch import Outcome, failed, say_farewell, serve
from mcpd.mcp.permission import may_hear
from mcpd.mcp.request import McpRequest
from mcpd.mcp.revisions import Revision
from mcpd.mcp.runtime import Runtime
from mcpd.mcp.streams.reader import End, Reader
from mcpd.mcp.transports.wire import Accepts, outcome_response
from mcpd.sessions.record import Session, SessionId
from mcpd.sessions.stream_ids import event_id
from mcpd.sessions.streams import SESSION_STREAM, Event

OPEN_AFTER_S = 1.0  # a call that is still silent then gets its stream, and can be resumed


class SinkOutlet:
    """The outlet of a call that runs in its connection's task: nothing is kept."""

    writer = None

    def __init__(self, sink: EventSink) -> None:
        self.used = False
        self._sink = sink

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """See ``Outlet``."""
        self.used = True
        await self._sink.send(sse.event(message), last=last)

    async def post(self, message: bytes) -> None:
        """See ``Outlet``."""
        self.used = True
        await self._sink.post(sse.event(message))


def call_stream(
    request: McpRequest, accepted: Accepts, *, lasts_s: float, opener: Identity
) -> EventStream:
    """The answer to a call of 2026-07-28: its connection is its life.

    Args:
        lasts_s: for how long its client may read it, if it has no end of its own.
        opener: whose credential opens it.
    """

    async def run(sink: EventSink) -> Response | None:
        outlet = SinkOutlet(sink)
        try:
            outcome = await serve(request, outlet)
        except trio.Cancelled:
            await say_farewell(request, outlet)
            raise
        if not outlet.used:
            modern = request.caller.revision.modern
            return outcome_response(outcome, accepted, modern=modern)
        if outcome.response is not None:
            await outlet.send(outcome.response, last=True)
        return None

    endless = request.method.farewell is not None
    return EventStream(run, sse.STREAM_HEADERS, open_ended=endless, lasts_s=lasts_s, opener=opener)


def kept_call_stream(request: McpRequest, session: Session, accepted: Accepts) -> EventStream:
    """The answer to a call of the handshake era, which outlives its connection."""
    runtime, revision = request.runtime, request.caller.revision

    async def run(sink: EventSink) -> Response | None:
        writer = runtime.streams.open_writer(kept_call(request, session.id))
        key = writer.key
        with runtime.streams.open_reader(*key, 0, returning=False) as reader:
            start(request, writer)
            with trio.move_on_after(OPEN_AFTER_S):
                await writer.settled.wait()
            if not writer.settled.is_set():
                try:
                    await writer.open()
                except StoreError as error:
                    if not error.lasting:  # nothing was sent yet, so this can be
                        outcome = failed(request.call.id, error)
                        return outcome_response(outcome, accepted, modern=False)
                    await writer.settled.wait()  # the answer needs no store
                except McpdError as error:
                    return outcome_response(failed(request.call.id, error), accepted, modern=False)
            if not writer.is_kept:
                return outcome_response(Outcome(writer.plain_answer), accepted, modern=False)
            # In one write with the head: without it no client comes back.
            prime = sse.prime(event_id(key.stream_id, 0)) if revision.primes_streams else b""
            await _send_all(runtime, sink, reader, revision, prime)
        return None

    return EventStream(run, sse.STREAM_HEADERS)


async def find_call_stream(
    runtime: Runtime, session_id: SessionId, stream_id: str, after: int, revision: Revision
) -> EventStream | None:
    """The rest of a call's stream whose connection broke; None: the id names no call of this
    session.

    Raises:
        StoreError: that cannot be told now.
    """
    known = await is_known(runtime, session_id, stream_id, after)
    runtime.observer.tell(StreamResumed("found" if known else "lost"))
    if known:
        return _rest_of_call(runtime, session_id, stream_id, after, revision)
    lost = lost_answer(session_id, stream_id)
    return None if lost is None else _only(lost)


def _only(message: bytes) -> EventStream:
    async def run(sink: EventSink) -> None:
        await sink.send(sse.event(message))

    return EventStream(run, sse.STREAM_HEADERS)


def _rest_of_call(
    runtime: Runtime, session_id: SessionId, stream_id: str, after: int, revision: Revision
) -> EventStream:
    async def run(sink: EventSink) -> None:
        with (
            runtime.sessions.active.hold(session_id),
            runtime.streams.open_reader(session_id, stream_id, after) as reader,
        ):
            await _send_all(runtime, sink, reader, revision)

    return EventStream(run, sse.STREAM_HEADERS)


async def _send_all(
    runtime: Runtime, sink: EventSink, reader: Reader, revision: Revision, before: bytes = b""
) -> None:
    """Send what there is and what comes, to the end of the stream.

    Args:
        before: goes out first, with the head: at once, or with the events that are there already.
    """
    stream_id = reader.key.stream_id
    if not reader.has_news:
        await sink.send(before)
        before = b""
    while events := await next_events(runtime, reader):
        data = before + b"".join(_encode(stream_id, event, revision) for event in events)
        before = b""
        if not await sink.send(data, last=reader.has_ended):
            return  # its client is gone, and will come back for it
    if reader.end is End.DISCONNECTED:  # the client comes back for the rest
        last = event_id(stream_id, reader.after) if revision.primes_streams else None
        await sink.send(sse.farewell(last, reader.readers.retry_ms))


async def session_stream(
    runtime: Runtime,
    session: Session,
    revision: Revision,
    after: int | None,
    *,
    lasts_s: float,
    opener: Identity,
) -> EventStream:
    """What belongs to no call: changes of lists and of resources the session subscribed to.

    Args:
        lasts_s: for how long its client may read it.
        opener: whose credential opens it.

    Raises:
        StoreError: it cannot be opened now.
    """
    streams = runtime.streams
    await runtime.changes.watch(session.id, session.subscriptions)
    begin = await streams.events.newest(session.id) if after is None else after
    sent = begin

    async def run(sink: EventSink) -> None:
        nonlocal sent
        owner = opener.principal
        each = owner.rights.limits.rules.streams_at_once
        held = runtime.limits.caps.streams.hold(owner.key, each=each)
        with held, runtime.sessions.active.stream(session.id):
            await sink.open()
            with streams.open_reader(session.id, SESSION_STREAM, begin) as reader:
                while events := await reader.next():
                    data = (
                        _encode(SESSION_STREAM, event, revision)
                        for event in events
                        if may_hear(runtime.catalog, event.data, owner)
                    )
                    if not await sink.send(b"".join(data)):
                        return
                    sent = events[-1].number

    def farewell(retry_ms: int) -> bytes:
        last = event_id(SESSION_STREAM, sent) if revision.primes_streams else None
        return sse.farewell(last, retry_ms)

    return EventStream(
        run, sse.STREAM_HEADERS, open_ended=True, lasts_s=lasts_s, farewell=farewell, opener=opener
    )


def _encode(stream_id: str, event: Event, revision: Revision) -> bytes:
    name = event_id(stream_id, event.number) if revision.resumable else None
    return sse.event(event.data, event_id=name)
