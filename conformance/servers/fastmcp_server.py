"""Part of the fixture ``conformance/everything.py``, served by FastMCP.

fastmcp_server.py PORT: Streamable HTTP at /mcp, on 127.0.0.1.
With MCP_TOKEN in the environment, a bearer token is required.

FastMCP has no resource subscriptions; ``test_trigger_resource_update`` has nobody to tell.
"""

import asyncio
import json
import os
import sys
import warnings
from collections.abc import Mapping
from typing import Annotated, Any

import uvicorn
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.auth import StaticTokenVerifier
from fastmcp.server.event_store import EventStore
from mcp.types import (
    Completion,
    CompletionArgument,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    PromptReference,
    ResourceTemplateReference,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel, Field

HOST, PORT = "127.0.0.1", int(sys.argv[1])
TOKEN = os.environ.get("MCP_TOKEN", "")
MODERN = "2026-07-28"
PAUSE_S = 0.05
WORDS = ["paris", "park", "party", "test", "testing"]

server = FastMCP(
    "everything",
    version="1.0.0",
    instructions="A server with one of everything, for conformance tests.",
    auth=StaticTokenVerifier({TOKEN: {"client_id": "conformance", "scopes": []}})
    if TOKEN
    else None,
)

# --- tools -----------------------------------------------------------------------------------


@server.tool(output_schema=None)
async def test_simple_text() -> str:
    """Return a text."""
    return "This is a simple text response for testing."


@server.tool(output_schema=None)
async def test_error_handling() -> str:
    """Fail."""
    raise ToolError("This tool intentionally returns an error for testing")


@server.tool
async def test_structured(a: int, b: int = 2) -> dict[str, int]:
    """Return structured content."""
    return {"sum": a + b}


@server.tool(output_schema=None)
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress: 0, 50, 100."""
    for progress in (0, 50, 100):
        await ctx.report_progress(progress, 100, f"{progress} of 100")
        await asyncio.sleep(PAUSE_S)
    return "Progressed."


@server.tool(output_schema=None)
async def test_reconnection(ctx: Context) -> str:
    """Let the client's connection go in the middle of the call."""
    await ctx.close_sse_stream()
    await asyncio.sleep(2 * PAUSE_S)
    return "Reconnection test completed successfully."


@server.tool(output_schema=None)
async def test_slow(seconds: float, key: str, ctx: Context) -> str:
    """Sleep, reporting progress."""
    slept = 0.0
    while slept < seconds:
        await asyncio.sleep(min(PAUSE_S, seconds - slept))
        slept += min(PAUSE_S, seconds - slept)
        await ctx.report_progress(slept, seconds)
    return f"slept {seconds:g} s"


@server.tool(output_schema=None)
async def greet(name: str = "World") -> str:
    """Answer at once, never as a task."""
    return f"Hello, {name}!"


# --- tools: asking the client. FastMCP wants the two eras told apart. ------------------------


def is_modern(ctx: Context) -> bool:
    return ctx.request_context is not None and ctx.request_context.protocol_version == MODERN


def sampled(answer: Any) -> str:
    content = answer.content if isinstance(answer, CreateMessageResult) else None
    return f"LLM response: {content.text if isinstance(content, TextContent) else ''}"


@server.tool(output_schema=None)
async def test_sampling(prompt: str, ctx: Context) -> str | InputRequiredResult:
    """Ask the client's model."""
    messages = [SamplingMessage(role="user", content=TextContent(type="text", text=prompt))]
    if not is_modern(ctx):  # FastMCP 4 dropped this; the session of the SDK below still can
        with warnings.catch_warnings(action="ignore"):
            return sampled(
                await ctx.session.create_message(
                    messages, max_tokens=100, related_request_id=ctx.request_id
                )
            )
    if ctx.input_responses is None:
        params = CreateMessageRequestParams(messages=messages, max_tokens=100)
        return InputRequiredResult(input_requests={"answer": CreateMessageRequest(params=params)})
    return sampled(ctx.input_responses["answer"])


class Reply(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


def elicited(action: str, content: Mapping[str, Any] | None) -> str:
    return f"User response: action={action}, content={content}"


@server.tool(output_schema=None)
async def test_elicitation(message: str, ctx: Context) -> str | InputRequiredResult:
    """Ask the user."""
    if not is_modern(ctx):
        reply = await ctx.elicit(message, Reply)
        return elicited(reply.action, reply.data.model_dump() if reply.action == "accept" else None)
    if ctx.input_responses is None:
        params = ElicitRequestFormParams(
            message=message, requested_schema=Reply.model_json_schema()
        )
        return InputRequiredResult(input_requests={"reply": ElicitRequest(params=params)})
    answer = ctx.input_responses["reply"]
    if not isinstance(answer, ElicitResult):
        raise ToolError("That is no answer to an elicitation.")
    return elicited(answer.action, answer.content)


# --- resources -------------------------------------------------------------------------------


@server.resource("test://static-text", title="Static text", mime_type="text/plain")
async def static_text() -> str:
    """A static text resource."""
    return "This is the content of the static text resource."


@server.resource("test://template/{id}/data", mime_type="application/json")
async def template_data(id: str) -> str:  # noqa: A002 - the fixture's spelling
    """Data of the given id."""
    data = {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}
    return json.dumps(data, separators=(",", ":"))


@server.resource("test://watched-resource", mime_type="text/plain")
async def watched_resource() -> str:
    """A resource to subscribe to."""
    return "Watched resource content"


@server.tool(output_schema=None)
async def test_trigger_resource_update(uri: str) -> str:
    """Announce that a resource changed."""
    return f"announced {uri}"


# --- prompts and completion ------------------------------------------------------------------


@server.prompt
async def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@server.prompt
async def test_prompt_with_arguments(
    arg1: Annotated[str, Field(description="First test argument")],
    arg2: Annotated[str, Field(description="Second test argument")],
) -> str:
    """A prompt with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.completion
async def complete(
    ref: PromptReference | ResourceTemplateReference,
    argument: CompletionArgument,
    context: Any,
) -> Completion | None:
    """Words that begin with what was typed."""
    if not isinstance(ref, PromptReference) or ref.name != "test_prompt_with_arguments":
        return None
    if argument.name != "arg1":
        return None
    words = [word for word in WORDS if word.startswith(argument.value)]
    return Completion(values=words, total=len(words), has_more=False)


# --- serving ---------------------------------------------------------------------------------


class Announced(uvicorn.Server):
    """Says on stdout when it listens."""

    async def startup(self, *args: Any, **options: Any) -> None:
        await super().startup(*args, **options)
        print("ready", flush=True)


if __name__ == "__main__":
    app = server.http_app(event_store=EventStore(), retry_interval=500)
    config = uvicorn.Config(
        app, host=HOST, port=PORT, log_level="warning", timeout_graceful_shutdown=1
    )
    Announced(config).run()
