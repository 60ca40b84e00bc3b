"""A client that does as it is told, over lines: what speaks to bridges and stdio in tests."""

from typing import Any

import msgspec
import trio

WAIT_S = 30.0  # for any single message
HELLO = {
    "id": "hello",
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}},
}


class ScriptedClient:
    """Writes what it is given, and keeps what came until it is asked for."""

    def __init__(self, stdin: trio.abc.SendStream, stdout: trio.abc.ReceiveStream) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.found: list[Any] = []
        self._text = b""
        self._read = 0

    async def write(self, *bodies: Any) -> None:
        """Each as a line; bytes as they are."""
        for body in bodies:
            line = body if isinstance(body, bytes) else msgspec.json.encode(body)
            await self.stdin.send_all(line + b"\n")

    async def send(self, **message: Any) -> None:
        await self.write({"jsonrpc": "2.0", **message})

    async def read(self) -> Any:
        """The next message that was not read."""
        with trio.fail_after(WAIT_S):
            while self._read >= len(self.found):
                await self._receive()
        self._read += 1
        return self.found[self._read - 1]

    async def answer(self, request_id: Any) -> Any:
        """The first answer to a request, whatever else comes."""
        with trio.fail_after(WAIT_S):
            while True:
                for message in self.found:
                    if message.get("id") == request_id:
                        return message
                await self._receive()

    async def _receive(self) -> None:
        data = await self.stdout.receive_some(65536)
        assert data, "the other side ended"
        self._text += data
        *whole, self._text = self._text.split(b"\n")
        self.found += [msgspec.json.decode(line) for line in whole]

    async def ask(self, request_id: Any, method: str = "ping", **params: Any) -> Any:
        await self.send(id=request_id, method=method, params=params)
        return await self.answer(request_id)

    async def open(self) -> Any:
        """The handshake of a session."""
        await self.send(**HELLO)
        hello = await self.answer("hello")
        await self.send(method="notifications/initialized")
        return hello
