"""One peer: requests in, answers out, in order.

The connection's own task reads a request, awaits its endpoint and writes the answer; nothing is
handed between tasks on the way.
"""

import logging
from math import inf

import trio

from mcpd.errors import McpdError, PeerError, fault
from mcpd.http import answers, closing, sse
from mcpd.http import bounds as fixed
from mcpd.http.heads import Head
from mcpd.http.link import Link
from mcpd.http.messages import Answer, EventStream, Peer, Request, Response
from mcpd.http.parser import RequestParser
from mcpd.http.phases import TIMEOUTS, Phase
from mcpd.http.state import ServerState
from mcpd.http.stream_sink import StreamSink
from mcpd.observer import RequestServed, begin

log = logging.getLogger("mcpd.http")

CLIENT_GONE = 499  # in the access log alone: nobody was there to be answered


class Connection:
    """Serve one stream until it closes, idles out, breaks a bound, or the server drains."""

    __slots__ = (
        "_answer_begun", "_began", "_head", "_link", "_number", "_open_ended", "_parser",
        "_peer", "_server", "_unlogged", "id",
    )  # fmt: skip

    def __init__(
        self, stream: trio.abc.Stream, peer: Peer, connection_id: int, server: ServerState
    ) -> None:
        self.id = connection_id
        self._server = server
        self._peer = peer
        self._link = Link(stream, server.timers, server.bounds)
        self._parser = RequestParser(server.bounds.max_head_bytes)
        self._head: Head | None = None  # of the request being served
        self._number = 0
        self._began = 0.0
        self._answer_begun = False
        self._unlogged: Request | None = None
        self._open_ended: trio.CancelScope | None = None

    # --- its life ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the end and close the stream. What it raises is a bug, in a group."""
        link = self._link
        try:
            async with trio.open_nursery() as nursery:
                link.nursery = nursery
                with link.scope:
                    await self._serve()
                link.disarm()
                if link.gone and self._unlogged is not None:
                    self._log(self._unlogged, CLIENT_GONE, 0)
                elif link.scope.cancelled_caught and not link.gone:
                    with trio.move_on_after(2 * fixed.GOODBYE_S, shield=True):
                        await self._explain_cancel(link.phase)
                nursery.cancel_scope.cancel()
        finally:
            link.disarm()
            await trio.aclose_forcefully(link.stream)

    def abort(self) -> None:
        """End it now, whatever runs."""
        self._link.end()

    def drain(self) -> None:
        """Finish what runs, then close; idle connections and open-ended streams end now, but for
        a request that has come and was not read yet.
        """
        if self._open_ended is not None:
            self._open_ended.cancel()
        elif self._link.phase is Phase.IDLE and not self._parser.has_bytes:
            # A request may be in the kernel's hands already; a fresh connection brings one.
            self._link.arm(Phase.IDLE, fixed.DRAIN_IDLE_S if self._number else fixed.DRAIN_FRESH_S)

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
            closing.abort(self._link.stream)
        late = TIMEOUTS.get(phase)
        if late is None or self._answer_begun:
            return
        await self._link.stop_watch()
        await self._refuse(late(self._server.bounds))

    async def _refuse(self, error: McpdError) -> None:
        fields = {"connection": f"{self.id:x}", "peer": self._peer.address, "status": error.status}
        log.info("refused: %s", error.message, extra={"fields": fields})
        await self._link.send(self._bytes_of(answers.problem(error), close=True))
        await closing.linger(self._link.stream)

    # --- requests -----------------------------------------------------------------------------

    async def _next_head(self) -> Head | None:
        parser, bounds, link = self._parser, self._server.bounds, self._link
        self._head, self._answer_begun = None, False
        fresh_s = fixed.DRAIN_FRESH_S if self._server.draining else bounds.head_timeout_s
        link.arm(Phase.IDLE, bounds.idle_timeout_s if self._number else fresh_s)
        while True:
            head = parser.next_head()
            if head is not None:
                return head
            if parser.has_bytes:
                if link.phase is Phase.IDLE:
                    link.arm(Phase.HEAD, bounds.head_timeout_s)
            elif self._server.draining and self._number:
                return None
            data = await link.receive(fixed.READ_BYTES)
            if not data:
                return None
            parser.feed(data)

    async def _exchange(self, head: Head) -> bool:
        """One request and its answer; False: the connection is over."""
        self._head = head
        self._number += 1
        self._began = trio.current_time()
        request = self._unlogged = self._request(head)
        self._link.keep = False
        self._link.run_until(self._began + self._server.bounds.request_timeout_s)
        answer = await self._answer(request)
        if isinstance(answer, EventStream):
            return await self._stream(request, answer)
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
            return answers.problem(error)
        except Exception:
            log.exception("request failed")
            return answers.problem(fault(request.id))

    def keep_on_disconnect(self) -> None:
        """See Request.keep_on_disconnect."""
        self._link.keep = True

    # --- bodies -------------------------------------------------------------------------------

    async def read_body(self, max_bytes: int) -> bytes:
        """See Request.body."""
        parser, length = self._parser, self._head.body_length if self._head else 0
        if length is not None and length > max_bytes:
            raise fixed.too_large(max_bytes)
        piece = parser.next_body()
        if piece is not None and len(piece) == length:  # the usual case: all of it is here
            return piece
        await self._link.stop_watch()  # from here on we read ourselves
        if piece is None and parser.waits_for_continue:
            await self._link.send(answers.CONTINUE)
        self._link.arm(Phase.BODY, self._server.bounds.body_timeout_s)
        parts, size = [], 0
        while piece := (piece or await self._next_piece()):
            size += len(piece)
            if size > max_bytes:
                raise fixed.too_large(max_bytes)
            parts.append(piece)
            piece = None
        self._link.resume()
        return b"".join(parts)

    async def _next_piece(self) -> bytes:
        while True:
            piece = self._parser.next_body()
            if piece is not None:
                return piece
            self._parser.feed(await self._link.receive_or_end(fixed.BODY_READ_BYTES))

    def _unread_body_can_be_skipped(self) -> bool:
        """Whether reading the rest of an unread body is cheaper than a new connection."""
        parser, head = self._parser, self._head
        if parser.waits_for_continue or parser.framing_lost or head is None:
            return False
        return head.body_length is not None and head.body_length <= fixed.UNREAD_BODY_BYTES

    async def _skip_body(self) -> None:
        self._link.arm(Phase.BODY, self._server.bounds.body_timeout_s)
        while await self._next_piece():
            pass

    # --- answers ------------------------------------------------------------------------------

    async def _respond(self, request: Request, response: Response) -> bool:
        link, parser = self._link, self._parser
        await link.stop_watch()
        close = self._must_close() or not (
            parser.body_complete or self._unread_body_can_be_skipped()
        )
        data = self._bytes_of(response, close=close)
        self._answer_begun = True
        await link.send(data)
        self._log(request, response.status, len(data))
        if close:
            await closing.linger(link.stream)
        elif not parser.body_complete:
            await self._skip_body()
        return not close

    async def _stream(self, request: Request, stream: EventStream) -> bool:
        head, bounds, link = self._head, self._server.bounds, self._link
        if head is None or link.nursery is None:
            return False
        close = self._must_close() or head.http_10 or not self._parser.body_complete
        sink = StreamSink(
            self._write_stream,
            answers.stream_head_bytes(stream.headers, close=close, http_10=head.http_10),
            self._server.timers,
            link.nursery,
            heartbeat_s=bounds.heartbeat_s,
            http_10=head.http_10,
        )
        try:
            response, ended = await self._run_stream(stream, sink)
            if response is not None and not sink.opened:
                sink.close()
                return await self._respond(request, response)
            farewell = stream.farewell or sse.retry
            await sink.finish(farewell(bounds.retry_hint_ms) if ended else b"")
        finally:
            sink.close()
            if sink.opened:
                self._log(request, 200, sink.sent_bytes)
        await link.stop_watch()
        if close and not sink.broken:
            await closing.linger(link.stream)
        return not close and not sink.broken and not link.gone

    def _log(self, request: Request, status: int, size: int) -> None:
        self._unlogged = None
        peer, seconds = request.peer.address, trio.current_time() - self._began
        what = (request.activity, request.method, request.path)
        self._server.observer.tell(RequestServed(*what, peer, status, size, seconds))

    async def _run_stream(
        self, stream: EventStream, sink: StreamSink
    ) -> tuple[Response | None, bool]:
        """Run it; an open-ended one also ends, and True is returned, when the site drains."""
        if not stream.open_ended:
            return await stream.run(sink), False
        self._link.run_until(inf)
        self._parser.forget_heads()
        response = None
        with trio.CancelScope() as self._open_ended:
            if self._server.draining:
                self._open_ended.cancel()
            response = await stream.run(sink)
        ended = self._open_ended.cancelled_caught
        self._open_ended = None
        return response, ended

    async def _write_stream(self, data: bytes) -> bool:
        self._answer_begun = True
        whole = await self._link.send_whole(data)
        self._link.resume()
        return whole

    def _must_close(self) -> bool:
        head = self._head
        return head is None or head.wants_close or self._server.draining or self._link.gone

    def _bytes_of(self, response: Response, *, close: bool) -> bytes:
        head = self._head
        return answers.response_bytes(
            response,
            close=close,
            head_only=head is not None and head.method == "HEAD",
            http_10=head is not None and head.http_10,
        )
