"""A client over any Trio stream, with h11 as its parser: what tests speak to a server with."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import h11
import msgspec
import trio

WAIT_S = 30.0  # for any single answer; virtual or real


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def events(self) -> list[dict[str, str]]:
        return parse_events(self.body)

    def messages(self) -> list[Any]:
        """The JSON-RPC messages of an answer, plain or streamed."""
        if self.headers.get("content-type") == "text/event-stream":
            return [msgspec.json.decode(e["data"]) for e in self.events() if e.get("data")]
        return [self.json()]


def parse_events(body: bytes) -> list[dict[str, str]]:
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":")
        )
        if fields:
            found.append(fields)
    return found


@dataclass
class Peer:
    """One connection."""

    stream: trio.abc.Stream
    host: str = "localhost"
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parser = h11.Connection(h11.CLIENT)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        json: Any = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Reply:
        with trio.fail_after(WAIT_S):
            await self.begin(method, path, body=body, json=json, headers=headers)
            return await self.reply()

    async def begin(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        json: Any = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        fields = [("host", self.host), *self.headers.items(), *headers]
        if json is not None:
            body = msgspec.json.encode(json)
            fields.append(("content-type", "application/json"))
        if body is not None:
            fields.append(("content-length", str(len(body))))
        if self.parser.our_state is h11.DONE:
            self.parser.start_next_cycle()
        raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields]
        request = h11.Request(method=method, target=path, headers=raw)
        data = self.parser.send(request) or b""
        if body is not None:
            data += self.parser.send(h11.Data(data=body)) or b""
        data += self.parser.send(h11.EndOfMessage()) or b""
        await self.send(data)

    async def head(self) -> h11.Response:
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            assert isinstance(event, h11.InformationalResponse), event

    async def piece(self) -> bytes | None:
        """Some of the body; None: it ended."""
        event = await self._event()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        assert isinstance(event, h11.EndOfMessage), event
        return None

    async def reply(self) -> Reply:
        response = await self.head()
        body = b""
        while (piece := await self.piece()) is not None:
            body += piece
        headers = {n.decode(): v.decode("latin-1") for n, v in response.headers}
        return Reply(response.status_code, headers, body)

    async def _event(self) -> Any:
        while True:
            event = self.parser.next_event()
            if event is not h11.NEED_DATA:
                return event
            self.parser.receive_data(await self.stream.receive_some(65536))

    async def raw_reply(self) -> bytes:
        """Everything until the server closes."""
        with trio.fail_after(WAIT_S):
            data = b""
            while piece := await self.stream.receive_some(65536):
                data += piece
            return data
