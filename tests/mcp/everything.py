"""A server with the conformance fixture, and clients of both eras that can answer questions."""

import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from mcpd.server.apps import load_apps
from tests.in_process import HandshakeClient, Serving, modern, serving
from tests.peer import Peer

FIXTURE = Path(__file__).parents[2] / "conformance" / "everything.py"
CAPABLE = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}
TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
ANSWERS = {
    "elicitation/create": {"action": "accept", "content": {"name": "Ada", "color": "red",
                           "ok": True, "value": "v", "username": "ada", "email": "a@b.c",
                           "confirm": True, "context": "tests"}},
    "sampling/createMessage": {"role": "assistant", "model": "m",
                               "content": {"type": "text", "text": "sampled"}},
    "roots/list": {"roots": [{"uri": "file:///tmp"}]},
}  # fmt: skip


@asynccontextmanager
async def everything(tmp_path: Path, **settings: Any):
    """A fresh copy of the fixture for each test: it changes while it is served."""
    sys.modules.pop("everything", None)
    async with serving(tmp_path, load_apps((f"{FIXTURE}:app",)), **settings) as server:
        yield server


class Capable(HandshakeClient):
    """A client of the handshake era that answers what it is asked."""

    def __init__(self, server: Serving, version: str = "2025-11-25", user: str = "alice") -> None:
        super().__init__(server.user(user), version)
        self.server = server
        self.user = user
        self.asked: list[Any] = []

    async def open(self, capabilities: Any = None, **_: Any) -> Any:
        params = {
            "protocolVersion": self.version,
            "capabilities": CAPABLE if capabilities is None else capabilities,
            "clientInfo": {"name": "test", "version": "1"},
        }
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        reply = await self.peer.request("POST", "/mcp/", json=message, headers=self.headers[:1])
        self.id = reply.headers["mcp-session-id"]
        self.version = reply.json()["result"]["protocolVersion"]
        await self.notify("notifications/initialized")
        return reply.json()["result"]

    async def tool(self, name: str, arguments: Any = None, **more: Any) -> Any:
        """Call a tool, answering questions on the way; the response message."""
        params = {"name": name, "arguments": arguments or {}, **more}
        return await self.converse("tools/call", params)

    async def converse(self, method: str, params: Any) -> Any:
        self.next_id += 1
        message = {"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params}
        peer = self.server.user(self.user)
        with trio.fail_after(30):
            await peer.begin("POST", "/mcp/", json=message, headers=self.headers)
            head = await peer.head()
            text = b""
            while (piece := await peer.piece()) is not None:
                text += piece
                if b"text/event-stream" in dict(head.headers)[b"content-type"]:
                    text = await self._answer(text)
                    if isinstance(text, dict):
                        return text
        return msgspec.json.decode(text)

    async def _answer(self, text: bytes) -> Any:
        while b"\n\n" in text:
            block, _, text = text.partition(b"\n\n")
            data = [line[6:] for line in block.split(b"\n") if line.startswith(b"data: ")]
            if not data or not data[0]:
                continue
            message = msgspec.json.decode(data[0])
            if "method" in message and "id" in message:
                self.asked.append(message)
                reply = {
                    "jsonrpc": "2.0",
                    "id": message["id"],
                    "result": ANSWERS[message["method"]],
                }
                other = self.server.user(self.user)
                posted = await other.request("POST", "/mcp/", json=reply, headers=self.headers)
                assert posted.status == 202
            elif "method" not in message:
                return message
        return text


async def ask_modern(
    peer: Peer, method: str, params: dict[str, Any], *, capabilities: Any = None
) -> tuple[dict[str, Any], list[Any]]:
    """A modern call with as many rounds as it takes; the last message and what was asked."""
    meta = {
        "io.modelcontextprotocol/clientCapabilities": CAPABLE
        if capabilities is None
        else capabilities
    }
    asked: list[Any] = []
    more: dict[str, Any] = {}
    for _ in range(10):
        reply = await modern(peer, method, {**params, **more}, meta=meta)
        message = reply.messages()[-1]
        result = message.get("result", {})
        if result.get("resultType") != "input_required":
            return message, asked
        requests = result["inputRequests"]
        asked += requests.values()
        more = {
            "inputResponses": {key: ANSWERS[r["method"]] for key, r in requests.items()},
            "requestState": result["requestState"],
        }
    raise AssertionError("it never ends")
