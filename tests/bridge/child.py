"""``mcpd bridge`` as a client starts it: a child with pipes."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

ANSWER_S = 20.0


class Child:
    """The bridge's two ends. ``others`` are messages that answered nothing."""

    def __init__(self, process: trio.Process, log: Path) -> None:
        self.process = process
        self.log = log
        self.others: list[dict[str, Any]] = []
        self._next_id = 0
        self._buffer = b""
        self._arrived: list[dict[str, Any]] = []

    async def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(line + b"\n")

    async def send(self, **message: Any) -> None:
        await self.write(msgspec.json.encode({"jsonrpc": "2.0", **message}))

    async def read(self) -> dict[str, Any]:
        """The next message; whatever is on stdout must be one."""
        assert self.process.stdout is not None
        with trio.fail_after(ANSWER_S):
            while b"\n" not in self._buffer:
                data = await self.process.stdout.receive_some(65536)
                assert data, self.log.read_text()
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message = msgspec.json.decode(line)
        assert message["jsonrpc"] == "2.0"
        return dict(message)

    async def begin(self, method: str, params: Any = None) -> int:
        self._next_id += 1
        await self.send(id=self._next_id, method=method, params=params or {})
        return self._next_id

    async def answer_to(self, request_id: Any) -> dict[str, Any]:
        while True:
            for message in self._arrived:
                if message.get("id") == request_id and "method" not in message:
                    self._arrived.remove(message)
                    return message
            message = await self.read()
            if "method" in message:
                self.others.append(message)
            else:
                self._arrived.append(message)

    async def call(self, method: str, params: Any = None) -> dict[str, Any]:
        return await self.answer_to(await self.begin(method, params))

    async def tool(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        return await self.call("tools/call", {"name": name, "arguments": arguments})

    async def other(self, method: str) -> dict[str, Any]:
        """The next notification or request of this kind."""
        while True:
            for message in self.others:
                if message["method"] == method:
                    self.others.remove(message)
                    return message
            message = await self.read()
            (self.others if "method" in message else self._arrived).append(message)

    async def open(self, version: str = "2025-11-25", **capabilities: Any) -> dict[str, Any]:
        params = {"protocolVersion": version, "capabilities": capabilities}
        hello = await self.call("initialize", params)
        await self.send(method="notifications/initialized")
        return hello

    async def end(self) -> int:
        """Close stdin; the exit code."""
        assert self.process.stdin is not None
        await self.process.stdin.aclose()
        with trio.fail_after(ANSWER_S):
            return await self.process.wait()

    async def logged(self, text: str) -> None:
        """Wait until the bridge's log has this."""
        with trio.fail_after(ANSWER_S):
            while not self.log.exists() or text not in self.log.read_text():
                await trio.sleep(0.01)


@asynccontextmanager
async def bridge(
    folder: Path, *flags: str, token: str = "", environ: dict[str, str] | None = None
) -> AsyncIterator[Child]:
    folder.mkdir(exist_ok=True, parents=True)
    names = {n: v for n, v in os.environ.items() if not n.upper().endswith("_PROXY")}
    with (folder / "stderr").open("wb") as stderr:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "mcpd", "bridge", "--state-dir", str(folder), *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**names, **({"MCPD_TOKEN": token} if token else {}), **(environ or {})},
        )
    try:
        yield Child(process, folder / "bridge.log")
    finally:
        process.kill()
        with trio.move_on_after(5, shield=True):
            await process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                await trio.aclose_forcefully(stream)
    log = (folder / "bridge.log").read_text() if (folder / "bridge.log").exists() else ""
    assert not token or token not in log
    assert (folder / "stderr").read_text() == ""
