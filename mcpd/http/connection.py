"""One peer: requests in, answers out, in order, in the connection's own task."""

import logging
from math import inf

import trio

from mcpd.errors import McpdError, PeerError, fault
from mcpd.events import RequestServed
from mcpd.http import answers, closing, sse
from mcpd.http import bounds as fixed
from mcpd.http.body import RequestBody
from mcpd.http.forwarded import peer_of
from mcpd.http.heads import Head
from mcpd.http.messages import EventStream, Peer, Request, Response
from mcpd.http.parser import RequestParser
from mcpd.http.peer_stream import PeerStream
from mcpd.http.phases import TIMEOUTS, Phase
from mcpd.http.routes import Verdict
from mcpd.http.state import ServerState
from mcpd.http.stream_sink import StreamSink
from mcpd.observer import begin

log = logging.getLogger("mcpd.http")

CLIENT_GONE = 499  # in the access log alone: the client left before its answer


class Connection:
    """Serve one stream until it closes, idles out, breaks a bound, or the server drains."""

    __slots__ = (
        "_answer_begun", "_body", "_ended", "_head", "_instead", "_interrupted", "_name",
        "_number", "_parser", "_peer", "_server", "_stream", "_unlogged", "began",
        "id",
    )  # fmt: skip

    def __init__(
        self, stream: trio.abc.Stream, peer: Peer, connection_id: int, server: ServerState
    ) -> None:
        self.id = connection_id
        self._server = server
        self._peer = peer
        self._stream = PeerStream(stream, server.timers, server.bounds)
        self._parser = RequestParser(server.bounds.max_head_bytes)
        self._body = RequestBody(self._parser, self._stream, server)
        self._head: Head | None = None  # of the request being served
        self._number = 0
        self._name = f"{connection_id:x}"
        self.began = trio.current_time()  # of the last request, or of the connection
        self._ended = 0.0  # of the last request
        self._answer_begun = False
        self._unlogged: Request | None = None
        self._instead: tuple[Request, Response] | None = None  # of a request that was cancelled
        self._interrupted = False  # its scope was cancelled, and the connection goes on

    # --- its life ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the end and close the stream. What it raises is a bug, in a group."""
        stream = self._stream
        try:
            async with trio.open_nursery() as nursery:
                stream.nursery = nursery
                stream.now = trio.lowlevel.current_clock().current_time
                with stream.scope:
                    await self._serve()
                while self._interrupted and not stream.over:
                    self._interrupted = False
                    with stream.begin_again():
                        await self._serve()
                stream.disarm()
                if stream.gone and self._unlogged is not None:
                    self._log(self._unlogged, CLIENT_GONE, 0)
                elif stream.scope.cancelled_caught and not stream.gone:
                    with trio.move_on_after(2 * fixed.GOODBYE_S, shield=True):
                        await self._explain_cancel(stream.phase)
                nursery.cancel_scope.cancel()
        finally:
            stream.disarm()
            self._body.release()
            await trio.aclose_forcefully(stream.raw)

    def abort(self) -> None:
        """End it now, whatever runs."""
        self._stream.end()

    def drain(self) -> None:
        """Finish what runs, then close; an idle connection ends now, but for a request that has
        come and was not read yet.
        """
        if self._stream.phase is Phase.IDLE and not self._parser.has_bytes:
            # A request may be in the kernel's hands already; a fresh connection brings one.
            grace_s = fixed.DRAIN_IDLE_S if self._number else fixed.DRAIN_FRESH_S
            self._stream.allow(Phase.IDLE, grace_s)

    def keep_on_disconnect(self) -> None:
        """See Request.keep_on_disconnect."""
        self._stream.keep = True

    def cancel(self, answer: Response) -> None:
        """See Request.cancel."""
        if self._unlogged is not None:
            self._instead, self._interrupted = (self._unlogged, answer), True
            self._stream.scope.cancel()

    async def _serve(self) -> None:
        try:
            goes_on = self._instead is None or await self._respond(*self._instead)
            while goes_on:
                head = await self._next_head()
                goes_on = head is not None and await self._exchange(head)
        except PeerError as error:  # no request came out of it, and nothing after it can
            self._head = None
            await self._refuse(error)

    async def _explain_cancel(self, phase: Phase) -> None:
        """A deadline ended the connection: say which, if the peer can still be told."""
        if phase is Phase.WRITING:
            closing.abort(self._stream.raw)
        late = TIMEOUTS.get(phase)
        if late is None or self._answer_begun:
            return
        await self._stream.stop_watch()
        await self._refuse(late(self._server.bounds))

    async def _refuse(self, error: McpdError) -> None:
        fields = {"connection": f"{self.id:x}", "peer": self._peer.address, "status": error.status}
        log.info("refused: %s", error.message, extra={"fields": fields})
        await self._stream.send(self._bytes_of(answers.error_response(error), close=True))
        await self._stream.linger()

    # --- requests -----------------------------------------------------------------------------

    async def _next_head(self) -> Head | None:
        parser, bounds, stream = self._parser, self._server.bounds, self._stream
        self._head, self._answer_begun = None, False
        self._body.release()
        if self._number:
            stream.arm(Phase.IDLE, self._ended + bounds.idle_timeout_s)
        else:
            draining_s, fresh_s = fixed.DRAIN_FRESH_S, bounds.head_timeout_s
            stream.allow(Phase.IDLE, draining_s if self._server.draining else fresh_s)
        head = parser.next_head()
        if head is not None:  # requests that came together take turns with other connections
            await trio.lowlevel.checkpoint()
        while head is None:
            if parser.has_bytes:
                if stream.phase is Phase.IDLE:
                    stream.allow(Phase.HEAD, bounds.head_timeout_s)
            elif self._server.draining and self._number:
                return None
            kept = stream.take_kept()
            data = await stream.io.receive(fixed.READ_BYTES) if kept is None else kept
            if not data:
                return None
            parser.feed(data)
            head = parser.next_head()
        return head

    async def _exchange(self, head: Head) -> bool:
        """One request and its answer; False: the connection is over."""
        self._head = head
        self._number += 1
        self.began = now = self._stream.now()
        request = self._unlogged = self._body.request = self._request(head)
        stream = self._stream
        stream.keep = False
        stream.run_until(now + self._server.bounds.request_timeout_s, now)
        verdict: Verdict | None = head.memory.get(Verdict)
        known = verdict is not None and not verdict.cors
        endpoint = verdict.endpoint if verdict is not None and known else self._server.endpoint
        try:
            answer = await endpoint(request)
        except McpdError as error:
            answer = answers.error_response(error)
        except Exception:
            log.exception("request failed")
            answer = answers.error_response(fault(request.id))
        if isinstance(answer, EventStream):
            return await self._send_stream(request, answer)
        return await self._respond(request, answer)

    def _request(self, head: Head) -> Request:
        peer: Peer | None = head.memory.get(Peer)
        if peer is None:
            peer = head.memory[Peer] = peer_of(self._peer, head, self._server.trusted)
        return Request(
            head.method, head.path, head.query, head.headers, head.host, peer,
            begin(self._name, self._number), head.memory, self._body, self,
        )  # fmt: skip

    # --- answers ------------------------------------------------------------------------------

    async def _respond(self, request: Request, response: Response) -> bool:
        stream, parser = self._stream, self._parser
        if self._instead is not None:  # nothing of this answer may go out beside that one
            await trio.lowlevel.checkpoint_if_cancelled()
        self._instead = None
        if stream.is_watched:
            await stream.stop_watch()
        head, complete = self._head, parser.body_complete
        close = (
            head is None
            or head.wants_close
            or self._server.closes
            or stream.gone
            or not (complete or parser.can_skip_body)
        )
        data = self._bytes_of(response, close=close)
        self._answer_begun = True
        await stream.send(data)
        self._log(request, response.status, len(data))
        if close:
            await stream.linger()
        elif not complete:
            await self._body.skip()
        return not close

    async def _send_stream(self, request: Request, answer: EventStream) -> bool:
        head, bounds, stream = self._head, self._server.bounds, self._stream
        if head is None or stream.nursery is None:
            return False
        close = (
            head.wants_close
            or head.http_10
            or self._server.closes
            or stream.gone
            or not self._parser.body_complete
        )
        sink = StreamSink(
            self._write_stream,
            answers.stream_head_bytes(answer.headers, close=close, http_10=head.http_10),
            self._server.timers,
            stream.nursery,
            heartbeat_s=bounds.heartbeat_s,
            http_10=head.http_10,
        )
        try:
            try:
                response, ended = await self._run_stream(answer, sink)
            except McpdError as error:  # before the head it can still be told
                if sink.opened:
                    raise
                response, ended = answers.error_response(error), False
            if response is not None and not sink.opened:
                sink.close()
                return await self._respond(request, response)
            farewell = answer.farewell or sse.retry
            await sink.finish(farewell(bounds.retry_hint_ms) if ended else b"")
        finally:
            sink.close()
            if sink.opened:
                self._log(request, 200, sink.sent_bytes)
        await stream.stop_watch()
        if close and not sink.broken:
            await stream.linger()
        return not close and not sink.broken and not stream.gone

    def _log(self, request: Request, status: int, size: int) -> None:
        self._unlogged = None
        self._ended = now = self._stream.now()
        self._server.observer.tell(
            RequestServed(
                request.activity, request.method, request.path, request.peer.address,
                status, size, now - self.began,
            )
        )  # fmt: skip

    async def _run_stream(
        self, stream: EventStream, sink: StreamSink
    ) -> tuple[Response | None, bool]:
        """Run it; an open-ended one also ends, and True is returned, when the server drains, or its
        client may not read it any more.
        """
        if not stream.open_ended:
            return await stream.run(sink), False
        self._stream.run_until(inf, self._stream.now())
        self._parser.forget_heads()
        self._body.release()
        response, scope = None, trio.CancelScope(deadline=self._stream.now() + stream.lasts_s)
        self._server.open_ended[scope] = stream.opener
        try:
            with scope:
                may_open = self._server.may_open  # only from here on a revocation finds the stream
                if self._server.draining or (may_open and not may_open(stream.opener)):
                    scope.cancel()
                response = await stream.run(sink)
        finally:
            self._server.open_ended.pop(scope, None)
        return response, scope.cancelled_caught

    async def _write_stream(self, data: bytes) -> bool:
        self._answer_begun = True
        return await self._stream.send_whole(data)

    def _bytes_of(self, response: Response, *, close: bool) -> bytes:
        head = self._head
        only, http_10 = (head.method == "HEAD", head.http_10) if head else (False, False)
        return answers.response_bytes(response, close=close, head_only=only, http_10=http_10)
