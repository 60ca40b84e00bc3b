"""The MCP adapters of LangChain: langchain. Its tools are called as an agent would call them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import common
import mcp.types as types
from common import PROMPT, TEMPLATE, URL, Got, Scenario
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.callbacks import Callbacks
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from mcp import ClientSession

SERVER = "everything"


async def sample(context: Any, params: Any) -> types.CreateMessageResult:
    answer = types.TextContent(type="text", text="hi")
    return types.CreateMessageResult(role="assistant", content=answer, model="m")


async def elicit(context: Any, params: Any, more: Any) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content=dict(common.USER))


async def use(tool: BaseTool, arguments: dict[str, Any]) -> Got:
    """Call a tool the way an agent does: the answer is a message for a model."""
    call = {"name": tool.name, "args": arguments, "id": "1", "type": "tool_call"}
    message = await tool.ainvoke(call)
    return {
        "content": message.content,
        "isError": message.status == "error",
        **(message.artifact or {}),
    }


def named(tools: list[BaseTool], name: str) -> BaseTool:
    return next(tool for tool in tools if tool.name == name)


def one_off(client: MultiServerMCPClient, seen: list[float]) -> dict[str, Scenario]:
    """What the client offers itself: each call makes a session of its own."""

    async def structured() -> Got:
        tool = named(await client.get_tools(), "test_structured")
        result = await use(tool, {"a": 1, "b": 2})
        structured = result.get("structured_content")
        return common.shown({**result, "structuredContent": structured})

    async def progress() -> Got:
        tool = named(await client.get_tools(), "test_tool_with_progress")
        return {**common.shown(await use(tool, {})), "progress": seen}

    async def resources() -> Got:
        blobs = await client.get_resources(SERVER, uris=["test://static-text", TEMPLATE])
        return {"contents": [{"text": blob.as_string()} for blob in blobs]}

    async def prompts() -> Got:
        simple = await client.get_prompt(SERVER, "test_simple_prompt")
        filled = await client.get_prompt(SERVER, PROMPT, arguments=common.PROMPT_ARGUMENTS)
        return {"messages": [message.content for message in [*simple, *filled]]}

    return {
        "structured": structured,
        "progress": progress,
        "resources": resources,
        "prompts": prompts,
    }


def in_session(session: ClientSession) -> dict[str, Scenario]:
    async def listed() -> Got:
        """The adapters list tools only; the rest is the session's, which they hand out."""
        templates = (await session.list_resource_templates()).resourceTemplates
        return {
            "tools": [tool.name for tool in await load_mcp_tools(session)],
            "resources": [str(each.uri) for each in (await session.list_resources()).resources],
            "templates": [each.uriTemplate for each in templates],
            "prompts": [each.name for each in (await session.list_prompts()).prompts],
        }

    async def call(tool: str, arguments: dict[str, Any]) -> Any:
        if tool == "no_such_tool":  # the adapters make tools of what is listed only
            return await session.call_tool(tool, arguments)
        return await use(named(await load_mcp_tools(session), tool), arguments)

    return common.calls(call, listed)


@asynccontextmanager
async def connect(name: str, scenario: str) -> AsyncIterator[dict[str, Scenario]]:
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None, more: Any) -> None:
        seen.append(progress)

    callbacks = Callbacks(
        on_progress=note if scenario == "progress" else None,
        on_elicitation=elicit if scenario == "elicitation" else None,
    )
    client = MultiServerMCPClient(
        {
            SERVER: {
                "transport": "streamable_http",
                "url": URL,
                "headers": common.headers(scenario),
                "session_kwargs": {"sampling_callback": sample} if scenario == "sampling" else {},
            }
        },
        callbacks=callbacks,
    )
    alone = one_off(client, seen)
    if scenario in alone:
        yield alone
        return
    async with client.session(SERVER) as session:
        yield in_session(session)


common.main(connect)
