"""The chunked transfer coding, read (RFC 9112, section 7.1). Pure.

Strict where h11 is lenient: every line ends in CRLF, and what is not data is bounded. A body in
tiny chunks, long extensions or endless trailers costs more to read than it brings.
"""

import re
from enum import Enum, auto

from mcpd.errors import BadRequest
from mcpd.http.bounds import FRAMING_BYTES, FRAMING_SHARE, MAX_CHUNK_LINE_BYTES

# chunk-size [ chunk-ext ]; of an extension only its characters are checked, since none is used.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?[ \t]*")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class _At(Enum):
    SIZE = auto()  # the line with the size of a chunk
    DATA = auto()
    DATA_END = auto()  # the end of line behind the data
    TRAILER = auto()  # a field behind the last chunk, or the empty line that ends it all
    END = auto()


class ChunkReader:
    """Bytes of one body in, its data out.

    Attributes:
        rest: bytes that were fed and are not used yet; behind the end they are the next request's.
    """

    __slots__ = ("_at", "_data_bytes", "_framing_bytes", "_left", "rest")

    def __init__(self) -> None:
        self._at = _At.SIZE
        self._left = 0  # of the data of the current chunk
        self._data_bytes = 0
        self._framing_bytes = 0
        self.rest = b""

    @property
    def ended(self) -> bool:
        """Whether the body is complete."""
        return self._at is _At.END

    def feed(self, data: bytes) -> bytes:
        """The data in what has come; b"" if there is none yet, or none any more.

        Raises:
            BadRequest: broken framing, or too much of it; the connection is lost.
        """
        buffer, place, parts = self.rest + data if self.rest else data, 0, []
        while self._at is not _At.END:
            if self._at is _At.DATA:
                piece = buffer[place : place + self._left]
                parts.append(piece)
                after = place + len(piece)
                self._count(data=len(piece))
            else:
                after = self._read_line(buffer, place)
                self._count(framing=after - place)
            if after == place:
                break
            place = after
        self.rest = buffer[place:]
        return b"".join(parts)

    def _count(self, *, data: int = 0, framing: int = 0) -> None:
        self._data_bytes += data
        self._left -= data
        if data and not self._left:
            self._at = _At.DATA_END
        self._framing_bytes += framing
        if self._framing_bytes > FRAMING_BYTES + self._data_bytes // FRAMING_SHARE:
            raise BadRequest(
                "The body comes in chunks that are too small, or with too much around them.",
                fix="Send larger chunks, or Content-Length.",
            )

    def _read_line(self, buffer: bytes, place: int) -> int:
        """Take one line that is not data; returns where the next part begins."""
        if self._at is _At.DATA_END and buffer[place : place + 2] not in (b"", b"\r", b"\r\n"):
            raise _broken("a chunk is longer than its size says")
        end = buffer.find(b"\r\n", place, place + MAX_CHUNK_LINE_BYTES)
        if end < 0:
            if len(buffer) - place >= MAX_CHUNK_LINE_BYTES:
                raise _broken(f"a line has more than {MAX_CHUNK_LINE_BYTES} bytes")
            if b"\n" in buffer[place:]:
                raise _broken("a line ends without CR")
            return place
        line = buffer[place:end]
        if self._at is _At.SIZE:
            self._begin_chunk(line)
        elif self._at is _At.DATA_END:
            self._at = _At.SIZE
        elif not line:
            self._at = _At.END
        elif not _TRAILER.fullmatch(line):
            raise _broken("a trailer is no field line")
        return end + 2

    def _begin_chunk(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise _broken("the size of a chunk is no hexadecimal number")
        self._left = int(match[1], 16)
        self._at = _At.DATA if self._left else _At.TRAILER


def _broken(reason: str) -> BadRequest:
    return BadRequest(f"The chunked body is broken: {reason}.", fix="See RFC 9112, section 7.1.")
