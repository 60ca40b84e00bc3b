"""The MCP toolset of Pydantic AI, used without an agent: pydantic-ai."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import common
import mcp_types as types
from common import PROMPT, TEMPLATE, URL, Got, Scenario
from pydantic_ai.mcp import MCPToolset


async def sample(messages: Any, params: Any, context: Any) -> types.CreateMessageResult:
    answer = types.TextContent(type="text", text="hi")
    return types.CreateMessageResult(role="assistant", content=answer, model="m")


async def elicit(message: str, response_type: Any, params: Any, context: Any) -> Any:
    return response_type(**common.USER)


def scenarios_of(toolset: MCPToolset[None], seen: list[float]) -> dict[str, Scenario]:
    async def listed() -> Got:
        return {
            "tools": [each.name for each in await toolset.list_tools()],
            "resources": [each.uri for each in await toolset.list_resources()],
            "templates": [each.uri_template for each in await toolset.list_resource_templates()],
            "prompts": [each.name for each in await toolset.list_prompts()],
        }

    async def structured() -> Got:
        result = await toolset.direct_call_tool("test_structured", {"a": 1, "b": 2})
        return {"structuredContent": result}

    async def progress() -> Got:
        result = await toolset.direct_call_tool("test_tool_with_progress", {})
        return {"progress": seen, "text": result}

    async def resources() -> Got:
        texts = [await toolset.read_resource(uri) for uri in ("test://static-text", TEMPLATE)]
        return {"contents": [{"text": text} for text in texts]}

    async def prompts() -> Got:
        simple = await toolset.get_prompt("test_simple_prompt")
        filled = await toolset.get_prompt(PROMPT, common.PROMPT_ARGUMENTS)
        return {"messages": [*simple.messages, *filled.messages]}

    return {
        **common.calls(toolset.direct_call_tool, listed),
        "structured": structured,
        "progress": progress,
        "resources": resources,
        "prompts": prompts,
    }


@asynccontextmanager
async def connect(name: str, scenario: str) -> AsyncIterator[dict[str, Scenario]]:
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    toolset: MCPToolset[None] = MCPToolset(
        URL,
        headers=common.headers(scenario),
        tool_error_behavior="error",
        sampling_handler=sample if scenario == "sampling" else None,
        elicitation_handler=elicit if scenario == "elicitation" else None,
        progress_handler=note if scenario == "progress" else None,
    )
    async with toolset:
        yield scenarios_of(toolset, seen)


common.main(connect)
