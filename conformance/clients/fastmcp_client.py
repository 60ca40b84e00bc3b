"""The client of FastMCP: fastmcp. It chooses the revision by itself, as it does by default."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import common
import mcp_types as types
from common import PROMPT, TEMPLATE, URL, Got, Scenario, plain, shown
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport


async def sample(messages: Any, params: Any, context: Any) -> types.CreateMessageResult:
    answer = types.TextContent(type="text", text="hi")
    return types.CreateMessageResult(role="assistant", content=answer, model="m")


async def elicit(message: str, response_type: Any, params: Any, context: Any) -> Any:
    return response_type(**common.USER)


def scenarios_of(client: Client[Any]) -> dict[str, Scenario]:
    async def connected() -> Got:
        return {"revision": client.protocol_version}

    async def listed() -> Got:
        templates = await client.list_resource_templates()
        return {
            "tools": [each.name for each in await client.list_tools()],
            "resources": [str(each.uri) for each in await client.list_resources()],
            "templates": [plain(each)["uriTemplate"] for each in templates],
            "prompts": [each.name for each in await client.list_prompts()],
        }

    async def call(tool: str, arguments: dict[str, Any]) -> Any:
        """Leave the error of a tool in its result, as the others do."""
        result = await client.call_tool(tool, arguments, raise_on_error=False)
        return {
            "content": [plain(block) for block in result.content],
            "structuredContent": result.structured_content,
            "isError": result.is_error,
        }

    async def progress() -> Got:
        seen: list[float] = []

        async def note(progress: float, total: float | None, message: str | None) -> None:
            seen.append(progress)

        result = await client.call_tool_mcp("test_tool_with_progress", {}, progress_handler=note)
        return {"progress": seen, **shown(result)}

    async def resources() -> Got:
        contents = await client.read_resource("test://static-text")
        return {"contents": plain_all([*contents, *await client.read_resource(TEMPLATE)])}

    async def prompts() -> Got:
        simple = await client.get_prompt("test_simple_prompt")
        filled = await client.get_prompt(PROMPT, common.PROMPT_ARGUMENTS)
        reference = types.PromptReference(type="ref/prompt", name=PROMPT)
        completed = await client.complete(reference, {"name": "arg1", "value": "par"})
        messages = plain_all([*simple.messages, *filled.messages])
        return {"messages": messages, "completion": completed.values}

    return {
        **common.calls(call, listed),
        "connect": connected,
        "progress": progress,
        "resources": resources,
        "prompts": prompts,
    }


def plain_all(values: list[Any]) -> list[Any]:
    return [plain(value) for value in values]


@asynccontextmanager
async def connect(name: str, scenario: str) -> AsyncIterator[dict[str, Scenario]]:
    client = Client(
        StreamableHttpTransport(URL, headers=common.headers(scenario)),
        sampling_handler=sample if scenario == "sampling" else None,
        elicitation_handler=elicit if scenario == "elicitation" else None,
    )
    async with client:
        yield scenarios_of(client)


common.main(connect)
