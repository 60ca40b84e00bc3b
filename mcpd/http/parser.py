"""The bytes of one connection become heads and bodies. No socket, no clock.

h11 reads each head with a fresh parser, and every chunked body. A client repeats itself: the
same head, byte for byte, was checked before, so it is looked up instead of read again. A body
of known length needs no parser, only counting. Answers are framed in ``answers.py``.
"""

import h11

from mcpd.http.bounds import UNREAD_BODY_BYTES
from mcpd.http.heads import Head, check_head, refuse_parse

MAX_KNOWN_HEADS = 8  # of one connection
MAX_KNOWN_HEAD_BYTES = 2048

_END_OF_HEAD = b"\r\n\r\n"


class RequestParser:
    """Feed bytes; take heads, then bodies."""

    __slots__ = (
        "_chunked", "_h11", "_known", "_max_head_bytes", "_raw", "_rest", "_to_come",
        "_waits_for_continue", "framing_lost",
    )  # fmt: skip

    def __init__(self, max_head_bytes: int) -> None:
        self._max_head_bytes = max_head_bytes
        self._h11: h11.Connection | None = None  # while it has a part of a message
        self._raw = b""  # of the head that is being read
        self._rest = b""  # not yet used
        self._to_come = 0  # bytes of a body of known length
        self._chunked = False  # a chunked body is to come
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
        return not self._to_come and not self._chunked

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
        rest, self._rest = self._rest, b""
        if not self._raw and rest[:1] in (b"\r", b"\n"):
            rest = rest.lstrip(b"\r\n")  # RFC 9112, section 2.2: robustness
        if not rest:
            return None
        end = rest.find(_END_OF_HEAD)
        if end >= 0 and not self._raw:
            raw = rest[: end + 4]
            head = self._known.get(raw)
            if head is not None:
                self._rest = rest[end + 4 :]
                self._expect_body(head)
                return head
        return self._read_head(rest)

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
        head = check_head(raw, event)
        if head.body_length is not None:  # h11 has done its part
            self._rest, self._h11 = self._h11.trailing_data[0], None
            self._remember(raw, head)
        self._expect_body(head)
        return head

    def _remember(self, raw: bytes, head: Head) -> None:
        raw = raw[: raw.find(_END_OF_HEAD) + 4]
        if len(raw) <= MAX_KNOWN_HEAD_BYTES:
            if len(self._known) >= MAX_KNOWN_HEADS:
                del self._known[next(iter(self._known))]
            self._known[raw] = head

    # --- bodies -------------------------------------------------------------------------------

    def _expect_body(self, head: Head) -> None:
        self._chunked = head.body_length is None
        self._to_come = head.body_length or 0
        self._waits_for_continue = head.expects_continue

    def next_body(self) -> bytes | None:
        """The next piece of the body; b"": it is complete; None: feed more.

        Raises:
            PeerError: broken framing; the connection is lost.
        """
        if self._chunked:
            return self._next_chunk()
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
        small = not self._chunked and self._to_come <= UNREAD_BODY_BYTES
        return small and not self._waits_for_continue and not self.framing_lost

    def _next_chunk(self) -> bytes | None:
        parser = self._h11
        if parser is None:
            return b""
        try:
            if self._rest:
                self._waits_for_continue = False
                parser.receive_data(self._rest)
                self._rest = b""
            event = parser.next_event()
        except h11.RemoteProtocolError as error:
            self.framing_lost = True
            refuse_parse(error)
        if isinstance(event, h11.Data):
            self._waits_for_continue = False
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            self._chunked = False
            self._rest, self._h11 = parser.trailing_data[0], None
            return b""
        return None
