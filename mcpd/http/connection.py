"""One peer: requests in, answers out, in order, in the connection's own task."""

import logging
from math import inf

import trio

from mcpd.errors import McpdError, PeerError, fault
from mcpd.http import answers, closing, sse
from mcpd.http import bounds as fixed
from mcpd.http.body_memory import BodyMemory
from mcpd.http.heads import Head
from mcpd.http.messages import Answer, EventStream, Peer, Request, Response
from mcpd.http.parser import RequestParser
from mcpd.http.peer_stream import PeerStream
from mcpd.http.phases import TIMEOUTS, Phase
from mcpd.http.state import ServerState
from mcpd.http.stream_sink import StreamSink
from mcpd.observer import RequestServed, begin

log = logging.getLogger("mcpd.http")

CLIENT_GONE = 499  # in the access log alone: the client left before its answer


class Connection:
    """Serve one stream until it closes, idles out, breaks a bound, or the server drains."""

    __slots__ = (
        "_answer_begun", "_began", "_body_memory", "_head", "_number", "_open_ended", "_parser",
        "_peer", "_server", "_stream", "_unlogged", "id",
    )  # fmt: skip

    def __init__(
        self, stream: trio.abc.Stream, peer: Peer, connection_id: int, server: ServerState
    ) -> None:
        self.id = connection_id
        self._server = server
        self._peer = peer
        self._stream = PeerStream(stream, server.timers, server.bounds)
        self._parser = RequestParser(server.bounds.max_head_bytes)
        self._body_memory = BodyMemory(server.bodies)
        self._head: Head | None = None  # of the request being served
        self._number = 0
        self._began = 0.0
        self._answer_begun = False
        self._unlogged: Request | None = None
        self._open_ended: trio.CancelScope | None = None

    # --- its life ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the end and close the stream. What it raises is a bug, in a group."""
        stream = self._stream
        try:
            async with trio.open_nursery() as nursery:
                stream.nursery = nursery
                with stream.scope:
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
            self._body_memory.release()
            await trio.aclose_forcefully(stream.raw)

    def abort(self) -> None:
        """End it now, whatever runs."""
        self._stream.end()

    def drain(self) -> None:
        """Finish what runs, then close; idle connections and open-ended streams end now, but for
        a request that has come and was not read yet.
        """
        if self._open_ended is not None:
            self._open_ended.cancel()
        elif self._stream.phase is Phase.IDLE and not self._parser.has_bytes:
            # A request may be in the kernel's hands already; a fresh connection brings one.
            grace_s = fixed.DRAIN_IDLE_S if self._number else fixed.DRAIN_FRESH_S
            self._stream.arm(Phase.IDLE, grace_s)

    async def _serve(self) -> None:
        try:
            while True:
                head = await self._next_head()
                if head is None or not await self._exchange(head):
                    return
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
        self._body_memory.release()
        fresh_s = fixed.DRAIN_FRESH_S if self._server.draining else bounds.head_timeout_s
        stream.arm(Phase.IDLE, bounds.idle_timeout_s if self._number else fresh_s)
        while True:
            head = parser.next_head()
            if head is not None:
                return head
            if parser.has_bytes:
                if stream.phase is Phase.IDLE:
                    stream.arm(Phase.HEAD, bounds.head_timeout_s)
            elif self._server.draining and self._number:
                return None
            data = await stream.receive(fixed.READ_BYTES)
            if not data:
                return None
            parser.feed(data)

    async def _exchange(self, head: Head) -> bool:
        """One request and its answer; False: the connection is over."""
        self._head = head
        self._number += 1
        self._began = trio.current_time()
        request = self._unlogged = self._request(head)
        self._stream.keep = False
        self._stream.run_until(self._began + self._server.bounds.request_timeout_s)
        answer = await self._answer(request)
        if isinstance(answer, EventStream):
            return await self._send_stream(request, answer)
        return await self._respond(request, answer)

    def _request(self, head: Head) -> Request:
        peer, host, trusted = self._peer, head.host, self._server.trusted
        if trusted:
            peer = trusted.resolve(peer, head.headers)
            host = peer.host or host
        return Request(
            head.method, head.path, head.query, head.headers, host, peer,
            begin(f"{self.id:x}", f"{self._number:x}"), head.memory, self,
        )  # fmt: skip

    async def _answer(self, request: Request) -> Answer:
        try:
            return await self._server.endpoint(request)
        except McpdError as error:
            return answers.error_response(error)
        except Exception:
            log.exception("request failed")
            return answers.error_response(fault(request.id))

    def keep_on_disconnect(self) -> None:
        """See Request.keep_on_disconnect."""
        self._stream.keep = True

    # --- bodies -------------------------------------------------------------------------------

    async def read_body(self, max_bytes: int) -> bytes:
        """See Request.body."""
        parser, length = self._parser, self._head.body_length if self._head else 0
        if length is not None and length > max_bytes:
            raise fixed.too_large(max_bytes)
        piece = parser.next_body()
        if piece is not None and len(piece) == length:  # the usual case: all of it is here
            return piece
        self._body_memory.grow(length or 0, self._unlogged)
        await self._stream.stop_watch()  # from here on we read ourselves
        if piece is None and parser.waits_for_continue:
            await self._stream.send(answers.CONTINUE)
        self._stream.arm(Phase.BODY, self._server.bounds.body_timeout_s)
        parts, size = [], 0
        while piece := (piece or await self._next_piece()):
            size += len(piece)
            if size > max_bytes:
                raise fixed.too_large(max_bytes)
            self._body_memory.grow(size, self._unlogged)
            parts.append(piece)
            piece = None
        self._stream.resume()
        return b"".join(parts)

    async def _next_piece(self) -> bytes:
        while True:
            piece = self._parser.next_body()
            if piece is not None:
                return piece
            self._parser.feed(await self._stream.receive_or_end(fixed.BODY_READ_BYTES))

    async def _skip_body(self) -> None:
        self._stream.arm(Phase.BODY, self._server.bounds.body_timeout_s)
        while await self._next_piece():
            pass

    # --- answers ------------------------------------------------------------------------------

    async def _respond(self, request: Request, response: Response) -> bool:
        stream, parser = self._stream, self._parser
        await stream.stop_watch()
        close = self._must_close() or not (parser.body_complete or parser.can_skip_body)
        data = self._bytes_of(response, close=close)
        self._answer_begun = True
        await stream.send(data)
        self._log(request, response.status, len(data))
        if close:
            await stream.linger()
        elif not parser.body_complete:
            await self._skip_body()
        return not close

    async def _send_stream(self, request: Request, answer: EventStream) -> bool:
        head, bounds, stream = self._head, self._server.bounds, self._stream
        if head is None or stream.nursery is None:
            return False
        close = self._must_close() or head.http_10 or not self._parser.body_complete
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
        what = (request.activity, request.method, request.path, request.peer.address)
        seconds = trio.current_time() - self._began
        self._server.observer.tell(RequestServed(*what, status, size, seconds))

    async def _run_stream(
        self, stream: EventStream, sink: StreamSink
    ) -> tuple[Response | None, bool]:
        """Run it; an open-ended one also ends, and True is returned, when the server drains."""
        if not stream.open_ended:
            return await stream.run(sink), False
        self._stream.run_until(inf)
        self._parser.forget_heads()
        response, self._open_ended = None, trio.CancelScope()
        try:
            with self._open_ended as scope:
                if self._server.draining:
                    scope.cancel()
                response = await stream.run(sink)
        finally:
            self._open_ended = None
        return response, scope.cancelled_caught

    async def _write_stream(self, data: bytes) -> bool:
        self._answer_begun = True
        whole = await self._stream.send_whole(data)
        self._stream.resume()
        return whole

    def _must_close(self) -> bool:
        head = self._head
        return head is None or head.wants_close or self._server.draining or self._stream.gone

    def _bytes_of(self, response: Response, *, close: bool) -> bytes:
        head = self._head
        return answers.response_bytes(
            response,
            close=close,
            head_only=head is not None and head.method == "HEAD",
            http_10=head is not None and head.http_10,
        )
