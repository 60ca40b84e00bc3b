"""text/event-stream: bytes to events (HTML Living Standard, section 9.2.6). Pure."""

from dataclasses import dataclass

from mcpd.errors import ContentTooLarge

_BOM = b"\xef\xbb\xbf"
MAX_RETRY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event."""

    data: bytes
    name: str = "message"
    id: str = ""  # the last that was told


class EventReader:
    """Takes pieces as they arrive.

    Attributes:
        last_id: where to come back to; empty if the server told none.
        retry_ms: how long to wait before that, in milliseconds; None if the server told nothing.
        comments: how many there were; they show that the server is there.
    """

    def __init__(self, max_bytes: int, *, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_ms: int | None = None
        self.comments = 0
        self._max_bytes = max_bytes
        self._rest: list[bytes] = []  # the line that is not whole yet
        self._rest_bytes = 0
        self._size = 0
        self._data: list[bytes] = []
        self._name = ""
        self._id = last_id
        self._begun = False
        self._after_cr = False

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The events that this piece completes.

        Raises:
            ContentTooLarge: one has more than ``max_bytes``.
        """
        self._rest.append(piece)
        self._rest_bytes += len(piece)
        found = []
        if b"\n" in piece or b"\r" in piece:
            *lines, rest = self._split(b"".join(self._rest))
            self._rest, self._rest_bytes = [rest], len(rest)
            found = [event for event in map(self._line, lines) if event is not None]
        self._check_size(self._rest_bytes)
        return found

    def _check_size(self, more: int) -> None:
        if self._size + more > self._max_bytes:
            raise ContentTooLarge(f"An event of the server has more than {self._max_bytes} bytes.")

    def _split(self, buffer: bytes) -> list[bytes]:
        """Lines, and what is behind the last of them. A CR ends its line at once; an LF that comes
        first in the next piece belongs to it.
        """
        if not self._begun and (len(buffer) >= len(_BOM) or not _BOM.startswith(buffer)):
            buffer, self._begun = buffer.removeprefix(_BOM), True
        if self._after_cr and buffer:
            buffer = buffer.removeprefix(b"\n")
        self._after_cr = buffer.endswith(b"\r") or (self._after_cr and not buffer)
        if b"\r" in buffer:
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return buffer.split(b"\n")

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        self._check_size(len(line))
        self._size += len(line)
        name, colon, value = line.partition(b":")
        if not name and colon:
            self.comments += 1
            return None
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry_ms = min(int(value[:12]), MAX_RETRY_MS)
        return None

    def _dispatch(self) -> ServerEvent | None:
        data, name = b"\n".join(self._data), self._name
        self._data, self._name, self._size = [], "", 0
        self.last_id = self._id
        return ServerEvent(data, name or "message", self._id) if data else None
