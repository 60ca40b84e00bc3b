"""The bytes of one connection become heads and bodies. No socket, no clock.

h11 reads each head with a fresh parser. A client repeats itself: the same head, byte for byte, was
checked before, so it is looked up instead of read again. A body of known length needs no parser,
only counting; ``chunks.py`` reads the others. Answers are framed in ``answers.py``.
"""

import h11

from mcpd.errors import BadRequest
from mcpd.http.bounds import UNREAD_BODY_BYTES
from mcpd.http.chunks import ChunkReader
from mcpd.http.heads import Head, check_head, head_too_large, refuse_parse

MAX_KNOWN_HEADS = 8  # of one connection
MAX_KNOWN_HEAD_BYTES = 2048

_END_OF_HEAD = b"\r\n\r\n"


class RequestParser:
    """Feed bytes; take heads, then bodies."""

    __slots__ = (
        "_chunks", "_h11", "_known", "_max_head_bytes", "_raw", "_rest", "_to_come",
        "_waits_for_continue", "framing_lost",
    )  # fmt: skip

    def __init__(self, max_head_bytes: int) -> None:
        self._max_head_bytes = max_head_bytes
        self._h11: h11.Connection | None = None  # while it has a part of a head
        self._raw = b""  # of the head that is being read
        self._rest = b""  # not yet used
        self._to_come = 0  # bytes of a body of known length
        self._chunks: ChunkReader | None = None  # while a chunked body is to come
        self._waits_for_continue = False
        self._known: dict[bytes, Head] = {}
        self.framing_lost = False  # nothing after this can be trusted

    @property
    def has_bytes(self) -> bool:
        """Whether part of a next request has arrived."""
        return bool(self._rest or self._raw)

    @property
    def body_complete(self) -> bool:
        """Whether nothing of the current body is still to be taken."""
        return not self._to_come and self._chunks is None

    @property
    def body_length(self) -> int | None:
        """Bytes of the body that are to come; None: that is not known."""
        return self._to_come if self._chunks is None else None

    @property
    def waits_for_continue(self) -> bool:
        """Whether the peer holds its body back until 100 (RFC 9110, section 10.1.1)."""
        return self._waits_for_continue

    def feed(self, data: bytes) -> None:
        """Add bytes as they came from the socket."""
        self._rest = self._rest + data if self._rest else data

    def forget_heads(self) -> None:
        """Free what is kept for a next request, when none will come soon."""
        self._known.clear()

    # --- heads --------------------------------------------------------------------------------

    def next_head(self) -> Head | None:
        """The next request's head; None: feed more.

        Raises:
            PeerError: what came is not an acceptable request; the connection is lost.
        """
        rest = self._rest
        if not rest:
            return None
        if not self._raw:
            end = rest.find(_END_OF_HEAD) + 4
            head = self._known.get(rest[:end]) if end > 3 else None
            if head is not None:
                self._rest = rest[end:]
                self._expect_body(head)
                return head
            if rest[:1] in (b"\r", b"\n"):
                rest = rest.lstrip(b"\r\n")  # RFC 9112, section 2.2: robustness
        self._rest = b""
        return self._read_head(rest) if rest else None

    def _read_head(self, data: bytes) -> Head | None:
        self._raw = self._raw + data if self._raw else data
        try:
            if self._h11 is None:
                self._h11 = h11.Connection(
                    h11.SERVER, max_incomplete_event_size=self._max_head_bytes
                )
            self._h11.receive_data(data)
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            self.framing_lost = True
            refuse_parse(error)
        if not isinstance(event, h11.Request):
            return None
        raw, self._raw = self._raw, b""
        end = raw.find(_END_OF_HEAD) + 4
        if end > self._max_head_bytes:  # h11 looks at the size of incomplete heads alone
            raise head_too_large()
        head = check_head(raw, event)
        self._rest, self._h11 = self._h11.trailing_data[0], None
        self._remember(raw[:end], head)
        self._expect_body(head)
        return head

    def _remember(self, raw: bytes, head: Head) -> None:
        if len(raw) <= MAX_KNOWN_HEAD_BYTES:
            if len(self._known) >= MAX_KNOWN_HEADS:
                del self._known[next(iter(self._known))]
            self._known[raw] = head

    # --- bodies -------------------------------------------------------------------------------

    def _expect_body(self, head: Head) -> None:
        self._chunks = ChunkReader() if head.body_length is None else None
        self._to_come = head.body_length or 0
        self._waits_for_continue = head.expects_continue

    def whole_body(self) -> bytes | None:
        """The body, if all of it is here; None: take it in pieces."""
        length = self._to_come
        if self._chunks is not None or len(self._rest) < length:
            return None
        if not length:
            return b""
        rest, self._to_come, self._waits_for_continue = self._rest, 0, False
        if len(rest) == length:
            self._rest = b""
            return rest
        self._rest = rest[length:]
        return rest[:length]

    def next_body(self) -> bytes | None:
        """The next piece of the body; b"": it is complete; None: feed more.

        Raises:
            PeerError: broken framing; the connection is lost.
        """
        if self._chunks is not None:
            return self._next_chunk(self._chunks)
        if not self._to_come:
            return b""
        rest = self._rest
        if not rest:
            return None
        self._waits_for_continue = False
        piece, self._rest = rest[: self._to_come], rest[self._to_come :]
        self._to_come -= len(piece)
        return piece

    @property
    def can_skip_body(self) -> bool:
        """Whether reading the rest of an unread body is cheaper than a new connection."""
        small = self._chunks is None and self._to_come <= UNREAD_BODY_BYTES
        return small and not self._waits_for_continue and not self.framing_lost

    def _next_chunk(self, chunks: ChunkReader) -> bytes | None:
        rest, self._rest = self._rest, b""
        if rest:
            self._waits_for_continue = False
        try:
            data = chunks.feed(rest)
        except BadRequest:
            self.framing_lost = True
            raise
        if data:
            return data
        if not chunks.ended:
            return None
        self._rest, self._chunks = chunks.rest, None
        return b""
