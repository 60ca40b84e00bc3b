"""Drive an MCP Streamable HTTP server with the official Python SDK, 1.x line (handshake-era revisions only).

Env: MCPD_URL, MCPD_TOKEN (bearer token, may be empty), MCPD_MODE ("" or "progress").
Prints one JSON object on the last stdout line.
"""

import asyncio
import json
import os
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import httpx
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

REQUEST_TIMEOUT = timedelta(seconds=20)  # without one, an unanswered request waits for ever


def describe(result: CallToolResult) -> dict[str, Any]:
    """A tool result as plain JSON: the error flag and the text blocks."""
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    return {"isError": result.isError, "text": "\n".join(texts)}


async def call(session: ClientSession, **arguments: Any) -> Any:
    """Call manage_task; return its structured content, or raise if it reports an error."""
    result = await session.call_tool("manage_task", arguments)
    if result.isError:
        raise RuntimeError(f"manage_task({arguments}) failed: {describe(result)['text']}")
    return result.structuredContent


async def call_wrong(session: ClientSession) -> dict[str, Any]:
    """Call manage_task with invalid arguments; report a tool error or a JSON-RPC error."""
    try:
        return describe(await session.call_tool("manage_task", {"action": "nonsense"}))
    except McpError as exc:
        return {"error": {"code": exc.error.code, "message": exc.error.message}}


async def tour(session: ClientSession) -> dict[str, Any]:
    await session.send_ping()
    return {
        "ping": "ok",
        "tools": [tool.name for tool in (await session.list_tools()).tools],
        "created": await call(session, action="create", title="from python v1"),
        "listed": await call(session, action="list"),
        "wrong": await call_wrong(session),
    }


async def count(session: ClientSession) -> dict[str, Any]:
    seen: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    result = await session.call_tool("count", {"to": 5}, progress_callback=on_progress)
    return {"progress": seen, "result": describe(result)}


async def main() -> None:
    url, token, mode = (
        os.environ["MCPD_URL"],
        os.environ.get("MCPD_TOKEN"),
        os.environ.get("MCPD_MODE", ""),
    )
    if mode not in ("", "progress"):
        raise SystemExit(f"unknown MCPD_MODE {mode!r}")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(30, read=300)) as http,
        streamable_http_client(url, http_client=http) as (read, write, session_id),
        ClientSession(read, write, REQUEST_TIMEOUT) as session,
    ):
        hello = await session.initialize()
        report = {
            "client": f"python mcp {version('mcp')}",
            "protocol_version": hello.protocolVersion,
            "session_id": session_id(),
            **await (count(session) if mode == "progress" else tour(session)),
        }
    print(json.dumps(report))


asyncio.run(main())
