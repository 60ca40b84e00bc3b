"""The body of the request that is being served, read within its bounds when it is asked for."""

from mcpd.http import answers
from mcpd.http import bounds as fixed
from mcpd.http.body_memory import BodyMemory
from mcpd.http.messages import Request
from mcpd.http.parser import RequestParser
from mcpd.http.peer_stream import PeerStream
from mcpd.http.phases import Phase
from mcpd.http.state import ServerState


class RequestBody:
    """See messages.BodyReader; one for all requests of a connection, which come one by one."""

    __slots__ = ("_bounds", "_memory", "_parser", "_stream", "request")

    def __init__(self, parser: RequestParser, stream: PeerStream, server: ServerState) -> None:
        self._parser = parser
        self._stream = stream
        self._bounds = server.bounds
        self._memory = BodyMemory(server.bodies)
        self.request: Request | None = None  # whose body it is

    def release(self) -> None:
        """The request is over: its body takes no memory any more."""
        if self._memory.held:
            self._memory.release()

    def take(self, max_bytes: int) -> bytes | None:
        """See Request.body_at_hand."""
        length = self._parser.body_length
        if length is not None and length > max_bytes:
            raise fixed.too_large(max_bytes)
        return self._parser.whole_body()

    async def read(self, max_bytes: int) -> bytes:
        """See Request.body."""
        at_hand = self.take(max_bytes)
        if at_hand is not None:
            return at_hand
        parser, stream, memory = self._parser, self._stream, self._memory
        memory.grow(parser.body_length or 0, self.request)
        piece = parser.next_body()
        await stream.stop_watch()  # from here on we read ourselves
        if piece is None and parser.waits_for_continue:
            await stream.send(answers.CONTINUE)
        stream.allow(Phase.BODY, self._bounds.body_timeout_s)
        parts, size = [], 0
        while piece := (piece or await self._next_piece()):
            size += len(piece)
            if size > max_bytes:
                raise fixed.too_large(max_bytes)
            memory.grow(size, self.request)
            parts.append(piece)
            piece = None
        stream.resume()
        return b"".join(parts)

    async def skip(self) -> None:
        """Read what an endpoint left unread."""
        self._stream.allow(Phase.BODY, self._bounds.body_timeout_s)
        while await self._next_piece():
            pass

    async def _next_piece(self) -> bytes:
        while True:
            piece = self._parser.next_body()
            if piece is not None:
                return piece
            self._parser.feed(await self._stream.receive_or_end(fixed.BODY_READ_BYTES))
