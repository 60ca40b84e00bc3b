"""The MCP client of the OpenAI Agents SDK, used without an agent: openai-agents."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import common
from agents.mcp import MCPServerStreamableHttp
from common import PROMPT, TEMPLATE, URL, Got, Scenario, plain


def scenarios_of(server: MCPServerStreamableHttp) -> dict[str, Scenario]:
    async def listed() -> Got:
        templates = plain(await server.list_resource_templates())["resourceTemplates"]
        return {
            "tools": [each.name for each in await server.list_tools()],
            "resources": [str(each.uri) for each in (await server.list_resources()).resources],
            "templates": [each["uriTemplate"] for each in templates],
            "prompts": [each.name for each in (await server.list_prompts()).prompts],
        }

    async def resources() -> Got:
        text, data = [await server.read_resource(uri) for uri in ("test://static-text", TEMPLATE)]
        return {"contents": [*plain(text)["contents"], *plain(data)["contents"]]}

    async def prompts() -> Got:
        simple = await server.get_prompt("test_simple_prompt")
        filled = await server.get_prompt(PROMPT, common.PROMPT_ARGUMENTS)
        return {"messages": [*plain(simple)["messages"], *plain(filled)["messages"]]}

    return {
        **common.calls(server.call_tool, listed),
        "resources": resources,
        "prompts": prompts,
    }


@asynccontextmanager
async def connect(name: str, scenario: str) -> AsyncIterator[dict[str, Scenario]]:
    server = MCPServerStreamableHttp({"url": URL, "headers": common.headers(scenario)})
    async with server:
        yield scenarios_of(server)


common.main(connect)
