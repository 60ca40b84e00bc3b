"""Drive an MCP Streamable HTTP server with the official Python SDK, 2.x line.

Env: MCPD_URL, MCPD_TOKEN (bearer token, may be empty), and MCPD_MODE, an era optionally prefixed by "progress-":
  auto    (default) probe with server/discover, fall back to initialize
  modern  the same, but fail unless the server took the 2026-07-28 stateless revision
  pin     2026-07-28 from the first request on, without server/discover
  legacy  initialize handshake
"progress" alone means "progress-auto". Prints one JSON object on the last stdout line.
"""

import asyncio
import json
import os
from importlib.metadata import version
from typing import Any

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

MODERN = "2026-07-28"
CLIENT_MODES = {"auto": "auto", "modern": "auto", "pin": MODERN, "legacy": "legacy"}
REQUEST_TIMEOUT = 20.0  # seconds; without one, an unanswered request waits for ever


def describe(result: CallToolResult) -> dict[str, Any]:
    """A tool result as plain JSON: the error flag and the text blocks."""
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    return {"isError": bool(result.is_error), "text": "\n".join(texts)}


def rpc_error(exc: MCPError) -> dict[str, Any]:
    return {"error": {"code": exc.error.code, "message": exc.error.message}}


async def call(client: Client, **arguments: Any) -> Any:
    """Call manage_task; return its structured content, or raise if it reports an error."""
    result = await client.call_tool("manage_task", arguments)
    if result.is_error:
        raise RuntimeError(f"manage_task({arguments}) failed: {describe(result)['text']}")
    return result.structured_content


async def tour(client: Client) -> dict[str, Any]:
    report: dict[str, Any] = {"ping": "ok"}
    try:
        await client.session.send_ping()
    except MCPError as exc:  # ping does not exist in 2026-07-28
        if client.protocol_version != MODERN:
            raise
        report["ping"] = rpc_error(exc)
    report["tools"] = [tool.name for tool in (await client.list_tools()).tools]
    report["created"] = await call(client, action="create", title="from python v2")
    report["listed"] = await call(client, action="list")
    try:
        report["wrong"] = describe(await client.call_tool("manage_task", {"action": "nonsense"}))
    except MCPError as exc:
        report["wrong"] = rpc_error(exc)
    return report


async def count(client: Client) -> dict[str, Any]:
    seen: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    result = await client.call_tool("count", {"to": 5}, progress_callback=on_progress)
    return {"progress": seen, "result": describe(result)}


async def main() -> None:
    url, token, mode = (
        os.environ["MCPD_URL"],
        os.environ.get("MCPD_TOKEN"),
        os.environ.get("MCPD_MODE") or "auto",
    )
    want_progress = mode.startswith("progress")
    era = mode.removeprefix("progress").removeprefix("-") or "auto"
    session_ids: list[str] = []

    async def note_session(
        response: httpx2.Response,
    ) -> None:  # the 2.x transport does not expose its session id
        session_ids.extend(response.headers.get_list("mcp-session-id"))

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    hooks = {"response": [note_session]}
    async with httpx2.AsyncClient(
        headers=headers, timeout=httpx2.Timeout(30, read=300), event_hooks=hooks
    ) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(
            transport, mode=CLIENT_MODES[era], read_timeout_seconds=REQUEST_TIMEOUT
        ) as client:
            if era == "modern" and client.protocol_version != MODERN:
                raise RuntimeError(f"asked for {MODERN}, negotiated {client.protocol_version}")
            report = {
                "client": f"python mcp {version('mcp')}",
                "mode": era,
                "protocol_version": client.protocol_version,
                "session_id": session_ids[0] if session_ids else None,
                **await (count(client) if want_progress else tour(client)),
            }
    print(json.dumps(report))


asyncio.run(main())
