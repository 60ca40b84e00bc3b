"""The client's side of HTTP, small and by hand, so that it shares no code with the server."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import trio

from benchmarks.soak.judge import Away, Cut, Wrong

READ_BYTES = 64 * 1024
Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Head:
    """Status and header fields; names in lower case."""

    status: int
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``message`` is None for one without data."""

    id: str
    message: Message | None


class Peer:
    """One connection. Every method raises Cut when it ends too early."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._data = bytearray()

    async def send(self, data: bytes) -> None:
        """As it is."""
        await self._stream.send_all(data)

    def close(self) -> None:
        """At once, whatever is under way."""
        self._stream.socket.close()

    async def head(self) -> Head:
        """The next answer's; one of 503 is raised as Away."""
        lines = (await self._until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        head = Head(int(lines[0].split(" ")[1]), fields)
        if head.status == 503:
            raise Away(await self.body(head))
        return head

    async def body(self, head: Head) -> bytes:
        """All of it."""
        if "content-length" in head.fields:
            return await self._take(int(head.fields["content-length"]))
        if "transfer-encoding" not in head.fields:
            return b""
        return b"".join([chunk async for chunk in self._chunks()])

    async def events(self, head: Head) -> AsyncIterator[Event]:
        """Until the stream ends."""
        if head.fields.get("content-type") != "text/event-stream":
            raise Wrong(f"no event stream: {head.status} {await self.body(head)!r}")
        text = b""
        async for chunk in self._chunks():
            text += chunk
            *whole, text = text.replace(b"\r\n", b"\n").split(b"\n\n")
            for event in whole:
                fields = [line.partition(b": ") for line in event.split(b"\n")]
                values = {name: value for name, _, value in fields if name}
                data = values.get(b"data", b"")
                if b"id" in values or data:
                    event_id = values.get(b"id", b"").decode()
                    yield Event(event_id, json.loads(data) if data else None)

    async def at_end(self) -> bool:
        """Whether the server closes without another byte."""
        return not self._data and not await self._stream.receive_some(1)

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self._until(b"\r\n"), 16):
            yield (await self._take(size + 2))[:-2]
        await self._until(b"\r\n")

    async def _until(self, mark: bytes) -> bytes:
        while (found := self._data.find(mark)) < 0:
            await self._more()
        taken = bytes(self._data[:found])
        del self._data[: found + len(mark)]
        return taken

    async def _take(self, count: int) -> bytes:
        while len(self._data) < count:
            await self._more()
        taken = bytes(self._data[:count])
        del self._data[:count]
        return taken

    async def _more(self) -> None:
        piece = await self._stream.receive_some(READ_BYTES)
        if not piece:
            raise Cut
        self._data += piece


async def connect(port: int) -> Peer:
    """Raises OSError where nothing listens."""
    sock = trio.socket.socket()
    try:
        await sock.connect(("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return Peer(trio.SocketStream(sock))
