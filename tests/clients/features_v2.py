"""Use every client-facing feature once, with the official Python SDK, 2.x line.

The server runs conformance/everything.py; the client answers sampling, form elicitation and roots.
Env: MCPD_URL, MCPD_TOKEN (bearer token, may be empty), MCPD_COMMAND (a bridge to start instead), MCPD_MODE: "legacy" (initialize handshake) or "modern"
(2026-07-28, found with server/discover). A feature that the SDK lacks is null. Prints one JSON object on the last stdout line.
"""

import asyncio
import json
import os
import shlex
import warnings
from collections.abc import Awaitable, Sequence
from importlib.metadata import version
from typing import Any, Literal

import httpx2
import mcp_types as types
from mcp import Client, MCPDeprecationWarning
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ResourceUpdated, ToolsListChanged

MODERN = "2026-07-28"
CLIENT_MODES = {"modern": "auto", "legacy": "legacy"}
REQUEST_TIMEOUT = 20.0  # seconds; without one, an unanswered request waits for ever
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
    fields = params.requested_schema["properties"].items()
    content: dict[str, Any] = {name: FILL_IN[field["type"]] for name, field in fields}
    return types.ElicitResult(action="accept", content=content)


async def list_roots(context: Any) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[types.Root.model_validate({"uri": "file:///tmp"})])


class CreatedTask(types.Result):
    result_type: Literal["task"]
    task_id: str
    poll_interval_ms: int = 500


class GetTask(types.Request[types.GetTaskRequestParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    name_param = "taskId"


class TaskState(types.Result):
    status: str
    result: types.CallToolResult | None = None


class Tasks(ClientExtension):
    """The tasks extension, which the SDK has hooks for but does not bring along."""

    identifier = "io.modelcontextprotocol/tasks"

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=CreatedTask, resolve=self.resolve)]

    async def resolve(self, created: CreatedTask, context: ClaimContext) -> types.CallToolResult:
        request = GetTask(params=types.GetTaskRequestParams(task_id=created.task_id))
        while True:
            state = await context.session.send_request(request, TaskState)
            if state.result is not None:
                return state.result
            if state.status != "working":
                raise RuntimeError(f"the task is {state.status}")
            await asyncio.sleep(created.poll_interval_ms / 1000)


class Notices:
    """What the server of a handshake-era session announced outside of any request."""

    def __init__(self) -> None:
        self.updated, self.tools_changed = asyncio.Event(), asyncio.Event()

    async def note(self, message: types.ServerNotification | Exception) -> None:
        match message:
            case types.ResourceUpdatedNotification(params=params) if str(params.uri) == WATCHED:
                self.updated.set()
            case types.ToolListChangedNotification():
                self.tools_changed.set()


async def arrives(notice: Awaitable[Any], wanted: Any = True) -> bool:
    try:
        return bool(await asyncio.wait_for(notice, NOTICE_TIMEOUT_S) == wanted)
    except TimeoutError:
        return False


async def call(client: Client, name: str, **arguments: Any) -> str:
    return text_of((await client.call_tool(name, arguments)).content)


async def read(client: Client, uri: str) -> Any:
    return (await client.read_resource(uri)).contents[0]


async def progress(client: Client) -> list[float]:
    seen: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    await client.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)
    return seen


async def updated(client: Client, notices: Notices) -> bool:
    if client.protocol_version == MODERN:
        async with client.listen(resource_subscriptions=[WATCHED]) as events:
            await call(client, "test_trigger_resource_update", uri=WATCHED)
            return await arrives(anext(events), ResourceUpdated(WATCHED))
    with warnings.catch_warnings(action="ignore", category=MCPDeprecationWarning):
        await client.subscribe_resource(WATCHED)
    await call(client, "test_trigger_resource_update", uri=WATCHED)
    return await arrives(notices.updated.wait())


async def list_changed(client: Client, notices: Notices) -> bool:
    arrived = []
    for _ in range(2):  # the second call takes the tool away again
        if client.protocol_version == MODERN:
            async with client.listen(tools_list_changed=True) as events:
                await call(client, "test_trigger_tool_change")
                arrived.append(await arrives(anext(events), ToolsListChanged()))
        else:
            notices.tools_changed.clear()
            await call(client, "test_trigger_tool_change")
            arrived.append(await arrives(notices.tools_changed.wait()))
    return all(arrived)


async def tour(client: Client, notices: Notices) -> dict[str, Any]:
    modern = client.protocol_version == MODERN
    templates = (await client.list_resource_templates()).resource_templates
    prompt = await client.get_prompt(PROMPT, {"arg1": "a", "arg2": "b"})
    reference = types.PromptReference(type="ref/prompt", name=PROMPT)
    completed = await client.complete(reference, {"name": "arg1", "value": "par"})
    if modern:
        sampling = await call(client, f"{INPUTS}_sampling")
        elicitation = await call(client, f"{INPUTS}_elicitation")
    else:
        sampling = await call(client, "test_sampling", prompt="hi")
        elicitation = await call(client, "test_elicitation", message="?")
    return {
        "sampling": sampling,
        "elicitation": elicitation,
        "roots": await call(client, "test_roots"),
        "multi": await call(client, f"{INPUTS}_multiple_inputs"),
        "multi_round": await call(client, f"{INPUTS}_multi_round"),
        "resources": [each.uri for each in (await client.list_resources()).resources],
        "templates": [each.uri_template for each in templates],
        "text": (await read(client, "test://static-text")).text,
        "template": (await read(client, "test://template/42/data")).text,
        "blob_mime": (await read(client, "test://static-binary")).mime_type,
        "prompts": [each.name for each in (await client.list_prompts()).prompts],
        "prompt": text_of([message.content for message in prompt.messages]),
        "completion": completed.completion.values,
        "structured": (await client.call_tool("test_structured", {"a": 1})).structured_content,
        "progress": await progress(client),
        # the SDK has no API for the tasks of 2025-11-25
        "task": await call(client, "slow_compute", seconds=0.3) if modern else None,
        "updated": await updated(client, notices),
        "list_changed": await list_changed(client, notices),
    }


def transport(http: httpx2.AsyncClient, token: str) -> Any:
    if command := os.environ.get("MCPD_COMMAND"):
        program, *args = shlex.split(command)
        return stdio_client(
            StdioServerParameters(command=program, args=args, env={"MCPD_TOKEN": token})
        )
    return streamable_http_client(os.environ["MCPD_URL"], http_client=http)


async def main() -> None:
    mode, token = os.environ["MCPD_MODE"], os.environ.get("MCPD_TOKEN", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    notices = Notices()
    async with (
        httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30, read=300)) as http,
        Client(
            transport(http, token),
            mode=CLIENT_MODES[mode],
            read_timeout_seconds=REQUEST_TIMEOUT,
            sampling_callback=sample,
            elicitation_callback=elicit,
            list_roots_callback=list_roots,
            message_handler=notices.note,
            extensions=[Tasks()],
        ) as client,
    ):
        if (mode == "modern") != (client.protocol_version == MODERN):
            raise RuntimeError(f"asked for {mode}, negotiated {client.protocol_version}")
        report = {
            "client": f"python mcp {version('mcp')}",
            "protocol_version": client.protocol_version,
            **await tour(client, notices),
        }
    print(json.dumps(report))


asyncio.run(main())
