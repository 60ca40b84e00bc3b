"""The bytes of one connection become heads and bodies. No socket, no clock.

Each request gets a fresh h11 parser, fed with what the last one left over. h11 reads; answers
are framed in ``answers.py``, which spares h11's validation of what we wrote ourselves.
"""

import h11

from mcpd.http.heads import Head, check_head, refuse_parse


class RequestParser:
    """Feed bytes; take heads, then bodies."""

    def __init__(self, max_head_bytes: int) -> None:
        self._max_head_bytes = max_head_bytes
        self._h11 = self._fresh()
        self._raw = b""  # of the head that is being read
        self._rest = b""  # not yet given to h11
        self.body_complete = True
        self.framing_lost = False  # nothing after this can be trusted

    def _fresh(self) -> h11.Connection:
        return h11.Connection(h11.SERVER, max_incomplete_event_size=self._max_head_bytes)

    @property
    def has_bytes(self) -> bool:
        """Whether part of a next request has arrived."""
        return bool(self._rest or self._raw)

    @property
    def waits_for_continue(self) -> bool:
        """Whether the peer holds its body back until 100 (RFC 9110, section 10.1.1)."""
        return self._h11.they_are_waiting_for_100_continue

    def feed(self, data: bytes) -> None:
        """Add bytes as they came from the socket."""
        self._rest = self._rest + data if self._rest else data

    def next_head(self) -> Head | None:
        """The next request's head; None: feed more.

        Raises:
            PeerError: what came is not an acceptable request; the connection is lost.
        """
        rest = self._rest
        if not self._raw and rest[:1] in (b"\r", b"\n"):
            rest = rest.lstrip(b"\r\n")  # RFC 9112, section 2.2: robustness
        if not rest:
            self._rest = b""
            return None
        self._rest = b""
        self._raw = self._raw + rest if self._raw else rest
        try:
            self._h11.receive_data(rest)
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            self.framing_lost = True
            refuse_parse(error)
        if not isinstance(event, h11.Request):
            return None
        raw, self._raw = self._raw, b""
        self.body_complete = False
        return check_head(raw, event)

    def next_body(self) -> bytes | None:
        """The next piece of the body; b"": it is complete; None: feed more.

        Raises:
            PeerError: broken framing; the connection is lost.
        """
        if self.body_complete:
            return b""
        try:
            if self._rest:
                rest, self._rest = self._rest, b""
                self._h11.receive_data(rest)
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            self.framing_lost = True
            refuse_parse(error)
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            self._finish()
            return b""
        return None

    def _finish(self) -> None:
        self.body_complete = True
        self._rest = self._h11.trailing_data[0] + self._rest
        self._h11 = self._fresh()
