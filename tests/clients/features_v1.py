"""Use every client-facing feature once, with the official Python SDK, 1.x line (handshake-era revisions only).

The server runs conformance/everything.py; the client answers sampling, form elicitation and roots.
Env: MCPD_URL, MCPD_TOKEN (bearer token, may be empty), MCPD_COMMAND (a bridge to start instead). Prints one JSON object on the last stdout line.
"""

import asyncio
import json
import os
import shlex
import warnings
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import httpx
import mcp.types as types
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import AnyUrl

REQUEST_TIMEOUT = timedelta(seconds=20)  # without one, an unanswered request waits for ever
NOTICE_TIMEOUT_S = 5.0
WATCHED = "test://watched-resource"
PROMPT = "test_prompt_with_arguments"
INPUTS = "test_input_required_result"
FILL_IN: dict[str, str | bool] = {"string": "Alice", "boolean": True}


def text_of(content: Any) -> str:
    blocks = content if isinstance(content, list) else [content]
    return "\n".join(block.text for block in blocks if isinstance(block, types.TextContent))


async def sample(
    context: Any, params: types.CreateMessageRequestParams
) -> types.CreateMessageResult:
    asked = [text_of(message.content) for message in params.messages if message.role == "user"]
    answer = types.TextContent(type="text", text=f"sampled: {asked[-1]}")
    return types.CreateMessageResult(role="assistant", content=answer, model="test")


async def elicit(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    if not isinstance(params, types.ElicitRequestFormParams):
        return types.ElicitResult(action="decline")
    fields = params.requestedSchema["properties"].items()
    content: dict[str, Any] = {name: FILL_IN[field["type"]] for name, field in fields}
    return types.ElicitResult(action="accept", content=content)


async def list_roots(context: Any) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[types.Root.model_validate({"uri": "file:///tmp"})])


class Notices:
    """What the server announced outside of any request."""

    def __init__(self) -> None:
        self.updated, self.tools_changed = asyncio.Event(), asyncio.Event()

    async def note(self, message: Any) -> None:
        match getattr(message, "root", None):
            case types.ResourceUpdatedNotification(params=params) if str(params.uri) == WATCHED:
                self.updated.set()
            case types.ToolListChangedNotification():
                self.tools_changed.set()


async def arrives(notice: Awaitable[Any], wanted: Any = True) -> bool:
    try:
        return bool(await asyncio.wait_for(notice, NOTICE_TIMEOUT_S) == wanted)
    except TimeoutError:
        return False


async def call(session: ClientSession, name: str, **arguments: Any) -> str:
    return text_of((await session.call_tool(name, arguments)).content)


async def read(session: ClientSession, uri: str) -> Any:
    return (await session.read_resource(AnyUrl(uri))).contents[0]


async def progress(session: ClientSession) -> list[float]:
    seen: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    await session.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)
    return seen


async def task(session: ClientSession) -> str:
    """Call a tool as a task of 2025-11-25, with the SDK's experimental API, deprecated as it is."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        tasks = session.experimental
    task_id = (await tasks.call_tool_as_task("slow_compute", {"seconds": 0.3})).task.taskId
    statuses = [state.status async for state in tasks.poll_task(task_id)]
    if statuses[-1] != "completed":
        return f"task {statuses[-1]}"
    return text_of((await tasks.get_task_result(task_id, types.CallToolResult)).content)


async def updated(session: ClientSession, notices: Notices) -> bool:
    await session.subscribe_resource(AnyUrl(WATCHED))
    await call(session, "test_trigger_resource_update", uri=WATCHED)
    return await arrives(notices.updated.wait())


async def list_changed(session: ClientSession, notices: Notices) -> bool:
    arrived = []
    for _ in range(2):  # the second call takes the tool away again
        notices.tools_changed.clear()
        await call(session, "test_trigger_tool_change")
        arrived.append(await arrives(notices.tools_changed.wait()))
    return all(arrived)


async def tour(session: ClientSession, notices: Notices) -> dict[str, Any]:
    templates = (await session.list_resource_templates()).resourceTemplates
    prompt = await session.get_prompt(PROMPT, {"arg1": "a", "arg2": "b"})
    reference = types.PromptReference(type="ref/prompt", name=PROMPT)
    completed = await session.complete(reference, {"name": "arg1", "value": "par"})
    return {
        "sampling": await call(session, "test_sampling", prompt="hi"),
        "elicitation": await call(session, "test_elicitation", message="?"),
        "roots": await call(session, "test_roots"),
        "multi": await call(session, f"{INPUTS}_multiple_inputs"),
        "multi_round": await call(session, f"{INPUTS}_multi_round"),
        "resources": [str(each.uri) for each in (await session.list_resources()).resources],
        "templates": [each.uriTemplate for each in templates],
        "text": (await read(session, "test://static-text")).text,
        "template": (await read(session, "test://template/42/data")).text,
        "blob_mime": (await read(session, "test://static-binary")).mimeType,
        "prompts": [each.name for each in (await session.list_prompts()).prompts],
        "prompt": text_of([message.content for message in prompt.messages]),
        "completion": completed.completion.values,
        "structured": (await session.call_tool("test_structured", {"a": 1})).structuredContent,
        "progress": await progress(session),
        "task": await task(session),
        "updated": await updated(session, notices),
        "list_changed": await list_changed(session, notices),
    }


@asynccontextmanager
async def connected() -> AsyncIterator[Any]:
    token = os.environ.get("MCPD_TOKEN", "")
    if command := os.environ.get("MCPD_COMMAND"):
        program, *args = shlex.split(command)
        server = StdioServerParameters(command=program, args=args, env={"MCPD_TOKEN": token})
        async with stdio_client(server) as streams:
            yield streams
        return
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(30, read=300)) as http,
        streamable_http_client(os.environ["MCPD_URL"], http_client=http) as (receive, send, _),
    ):
        yield receive, send


async def main() -> None:
    notices = Notices()
    async with (
        connected() as (receive, send),
        ClientSession(
            receive, send, REQUEST_TIMEOUT, sample, elicit, list_roots, message_handler=notices.note
        ) as session,
    ):
        hello = await session.initialize()
        report = {
            "client": f"python mcp {version('mcp')}",
            "protocol_version": hello.protocolVersion,
            **await tour(session, notices),
        }
    print(json.dumps(report))


asyncio.run(main())
