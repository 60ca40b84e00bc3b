"""Make many calls with the official Python SDK, 1.x line, while its servers come and go.

Env: MCPD_URL, MCPD_TOKEN, MCPD_CALLS (how many), MCPD_AT_ONCE. Each call reports progress and asks.
Prints one JSON object on the last stdout line.
"""

import asyncio
import json
import os
from collections import Counter
from datetime import timedelta
from typing import Any

import httpx
from mcp import ClientSession, McpError, types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import ClientMessageMetadata

REQUEST_TIMEOUT = timedelta(seconds=20)
asked: Counter[str] = Counter()
strays: list[str] = []  # what the session could not place: a second answer would be among it


async def on_elicit(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    asked[params.message] += 1
    return types.ElicitResult(action="accept", content={"ok": True})


async def on_message(message: Any) -> None:
    if isinstance(message, Exception):
        strays.append(f"{type(message).__name__}: {message}")


async def one(session: ClientSession, key: str, report: dict[str, Any]) -> None:
    seen: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    tokens: list[str] = []

    async def on_token(token: str) -> None:
        tokens.append(token)

    call = types.CallToolRequestParams(name="work", arguments={"key": key})

    async def send(resume: str | None) -> types.CallToolResult:
        metadata = ClientMessageMetadata(
            resumption_token=resume, on_resumption_token_update=on_token
        )
        return await session.send_request(
            types.ClientRequest(types.CallToolRequest(params=call)),
            types.CallToolResult,
            metadata=metadata,
            progress_callback=on_progress,
        )

    try:
        try:
            result = await send(None)
        except McpError:  # the transport gives a call up that is interrupted twice in a row
            if not tokens:
                raise
            report["resumed_by_hand"] += 1
            result = await send(tokens[-1])
    except Exception as error:
        report["failed"][key] = f"{type(error).__name__}: {error}"
        return
    text = result.content[0].text if isinstance(result.content[0], types.TextContent) else ""
    if result.isError or text != f"done {key}":
        report["wrong"][key] = text
    elif set(seen) != {1, 2, 3, 4}:  # some twice: it forgets where it was when it resumes twice
        report["wrong"][key] = f"progress {seen}"
    else:
        report["answered"].append(key)


async def main() -> None:
    calls, at_once = int(os.environ["MCPD_CALLS"]), int(os.environ["MCPD_AT_ONCE"])
    report: dict[str, Any] = {"answered": [], "failed": {}, "wrong": {}, "resumed_by_hand": 0}
    headers = {"Authorization": f"Bearer {os.environ['MCPD_TOKEN']}"}
    # a connection for each request: the proxy gives each to another server
    limits = httpx.Limits(max_keepalive_connections=0)
    timeout = httpx.Timeout(30, read=300)
    turns = asyncio.Semaphore(at_once)

    async def turn(session: ClientSession, key: str) -> None:
        async with turns:
            await one(session, key, report)

    async with (
        httpx.AsyncClient(headers=headers, timeout=timeout, limits=limits) as http,
        streamable_http_client(os.environ["MCPD_URL"], http_client=http) as (read, write, _),
        ClientSession(
            read,
            write,
            REQUEST_TIMEOUT,
            elicitation_callback=on_elicit,
            message_handler=on_message,
        ) as session,
    ):
        await session.initialize()
        async with asyncio.TaskGroup() as group:
            for number in range(calls):
                group.create_task(turn(session, f"k{number}"))
    report["asked"] = sum(asked.values())
    report["asked_again"] = {key: times for key, times in asked.items() if times > 1}
    report["strays"] = strays
    print(json.dumps(report))


asyncio.run(main())
