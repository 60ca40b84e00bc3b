"""A client of the server under soak: requests in both eras, sessions, streams that are resumed."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from benchmarks.soak.judge import LOST, Judge, Wrong
from benchmarks.soak.peer import Event, Head, Message, Peer, connect

MODERN, SESSION = "2026-07-28", "2025-11-25"
AGAIN_S = 0.1  # until what was cut is tried again
CAPABILITIES: dict[str, Any] = {
    "elicitation": {},
    "extensions": {"io.modelcontextprotocol/tasks": {}},
}


@dataclass(frozen=True, slots=True)
class Target:
    """The server, one user of it, and who judges."""

    port: int
    token: str
    judge: Judge

    def request(
        self, method: str, path: str, fields: Mapping[str, str] | None = None, body: bytes = b""
    ) -> bytes:
        """A request as it is on the wire."""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Accept: application/json, text/event-stream",
            f"Authorization: Bearer {self.token}",
            *(f"{name}: {value}" for name, value in (fields or {}).items()),
        ]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body

    def modern(self, number: int, method: str, params: Mapping[str, Any], name: str = "") -> bytes:
        """A request of 2026-07-28."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": CAPABILITIES,
        }
        given = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        if name:
            given["Mcp-Name"] = name
        body = rpc(number, method, {**params, "_meta": meta})
        return self.request("POST", "/mcp/", given, body)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Peer]:
        """One of its own, closed at the end."""
        peer = await connect(self.port)
        try:
            yield peer
        finally:
            peer.close()

    async def once(self, request: bytes) -> tuple[Head, bytes]:
        """One request on a connection of its own."""
        async with self.connection() as peer:
            await peer.send(request)
            head = await peer.head()
            return head, await peer.body(head)

    async def surely(self, request: bytes) -> tuple[Head, bytes]:
        """Again and again while the server is interrupted. For what does no harm twice."""
        while True:
            began = trio.current_time()
            try:
                return await self.once(request)
            except LOST:
                if not self.judge.excuses(began):
                    raise
                await trio.sleep(AGAIN_S)


def rpc(number: int, method: str, params: Mapping[str, Any]) -> bytes:
    """A JSON-RPC request."""
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()


def result_of(head: Head, body: bytes, number: int) -> Message:
    """The result of an answered call.

    Raises:
        Wrong: it is no result, or that of another call.
    """
    if head.status != 200:
        raise Wrong(f"status {head.status}: {body[:300]!r}")
    answer = json.loads(body)
    if answer.get("id") != number or "result" not in answer or answer["result"].get("isError"):
        raise Wrong(f"no result of {number}: {body[:300]!r}")
    found: Message = answer["result"]
    return found


def text_of(result: Message) -> str:
    """The text of a tool's result."""
    text: str = result["content"][0]["text"]
    return text


class Session:
    """A session of 2025-11-25 and the calls in it."""

    def __init__(self, target: Target, session_id: str) -> None:
        self.target = target
        self.id = session_id
        self.fields = {"Mcp-Session-Id": session_id, "MCP-Protocol-Version": SESSION}
        self._numbers = 0

    def number(self) -> int:
        """Of the next request."""
        self._numbers += 1
        return self._numbers

    def call(self, number: int, tool: str, arguments: Mapping[str, Any]) -> bytes:
        """tools/call with progress wanted."""
        params = {"name": tool, "arguments": arguments, "_meta": {"progressToken": number}}
        return self.post(rpc(number, "tools/call", params))

    def post(self, body: bytes) -> bytes:
        """Any message."""
        return self.target.request("POST", "/mcp/", self.fields, body)

    async def end(self) -> None:
        """DELETE; a session that was ended before an interruption is not there any more."""
        began = trio.current_time()
        head, body = await self.target.surely(self.target.request("DELETE", "/mcp/", self.fields))
        if head.status != 204 and not (head.status == 404 and self.target.judge.excuses(began)):
            raise Wrong(f"DELETE: {head.status} {body[:300]!r}")

    async def follow(self, request: bytes, cut_after: int) -> AsyncGenerator[Event, None]:
        """The events of a streaming call, through interruptions, until its result.

        Args:
            cut_after: after so many events we go away once and come back; 0: we stay.
        """
        last, seen, began = "", 0, trio.current_time()
        while True:
            asked = trio.current_time()
            try:
                async with self.target.connection() as peer:
                    fields = {**self.fields, "Last-Event-ID": last}
                    again = self.target.request("GET", "/mcp/", fields)
                    await peer.send(again if last else request)
                    async for event in peer.events(await peer.head()):
                        last = event.id or last
                        seen += 1
                        yield event
                        if event.message is not None and "result" in event.message:
                            return
                        if seen == cut_after:
                            break
            except LOST:
                if not last or not self.target.judge.excuses(asked):
                    raise
            if not last:
                raise Wrong("a stream without an id")
            if seen != cut_after and not self.target.judge.excuses(began):
                raise Wrong(f"the stream ended without its result, at {last}")
            await trio.sleep(AGAIN_S)


async def open_session(target: Target, registered: str = "") -> Session:
    """Initialize, as a session that was registered or as a new one.

    An interruption between the two requests leaves a session behind that is not used.
    """
    hello = {"protocolVersion": SESSION, "capabilities": {"elicitation": {}},
             "clientInfo": {"name": "soak", "version": "1"}}  # fmt: skip
    named = {"Mcp-Session-Id": registered} if registered else {}
    request = target.request("POST", "/mcp/", named, rpc(0, "initialize", hello))
    head, body = await target.once(request)
    result_of(head, body, 0)
    session = Session(target, head.fields["mcp-session-id"])
    done = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
    head, body = await target.once(session.post(done))
    if head.status != 202:
        raise Wrong(f"initialized: {head.status} {body[:300]!r}")
    return session
