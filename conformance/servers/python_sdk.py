"""Part of the fixture ``conformance/everything.py``, served by the official Python SDK.

python_sdk.py PORT: Streamable HTTP at /mcp, HTTP+SSE at /sse, on 127.0.0.1.
With MCP_TOKEN in the environment, a bearer token is required.
"""

import asyncio
import hmac
import json
import os
import sys
from itertools import count
from typing import Annotated, Any

import uvicorn
from mcp.server import MCPServer, ServerRequestContext
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, Elicit, ElicitationResult, Resolve, Sample
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.session import ServerSession
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    CreateMessageResult,
    EmptyResult,
    JSONRPCMessage,
    PromptReference,
    ResourceTemplateReference,
    SamplingMessage,
    SubscribeRequestParams,
    TextContent,
    UnsubscribeRequestParams,
)
from pydantic import AnyHttpUrl, BaseModel, Field

HOST, PORT = "127.0.0.1", int(sys.argv[1])
TOKEN = os.environ.get("MCP_TOKEN", "")
PAUSE_S = 0.05
WORDS = ["paris", "park", "party", "test", "testing"]


class OneToken:
    """The SDK's ``TokenVerifier``: the token of the environment and no other."""

    async def verify_token(self, token: str) -> AccessToken | None:
        if not hmac.compare_digest(token.encode(), TOKEN.encode()):
            return None
        return AccessToken(token=token, client_id="conformance", scopes=[])


def auth() -> dict[str, Any]:
    """Arguments of the server: nothing where no token is wanted."""
    if not TOKEN:
        return {}
    settings = AuthSettings(
        issuer_url=AnyHttpUrl("https://auth.example.com"),
        resource_server_url=AnyHttpUrl(f"http://{HOST}:{PORT}/mcp"),
        validate_token_resource=False,  # the token is for this server alone
    )
    return {"token_verifier": OneToken(), "auth": settings}


server = MCPServer(
    "everything",
    version="1.0.0",
    title="Everything",
    instructions="A server with one of everything, for conformance tests.",
    log_level="WARNING",
    **auth(),
)

# --- tools -----------------------------------------------------------------------------------


@server.tool(structured_output=False)
async def test_simple_text() -> str:
    """Return a text."""
    return "This is a simple text response for testing."


@server.tool(structured_output=False)
async def test_error_handling() -> str:
    """Fail."""
    raise ToolError("This tool intentionally returns an error for testing")


@server.tool()
async def test_structured(a: int, b: int = 2) -> dict[str, int]:
    """Return structured content."""
    return {"sum": a + b}


@server.tool(structured_output=False)
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress: 0, 50, 100."""
    for progress in (0, 50, 100):
        await ctx.report_progress(progress, 100, f"{progress} of 100")
        await asyncio.sleep(PAUSE_S)
    return "Progressed."


@server.tool(structured_output=False)
async def test_reconnection(ctx: Context) -> str:
    """Let the client's connection go in the middle of the call."""
    await ctx.close_sse_stream()
    await asyncio.sleep(2 * PAUSE_S)
    return "Reconnection test completed successfully."


@server.tool(structured_output=False)
async def test_slow(seconds: float, key: str, ctx: Context) -> str:
    """Sleep, reporting progress."""
    slept = 0.0
    while slept < seconds:
        await asyncio.sleep(min(PAUSE_S, seconds - slept))
        slept += min(PAUSE_S, seconds - slept)
        await ctx.report_progress(slept, seconds)
    return f"slept {seconds:g} s"


def ask_model(prompt: str) -> Sample:
    """The question that ``test_sampling`` depends on."""
    content = TextContent(type="text", text=prompt)
    return Sample([SamplingMessage(role="user", content=content)], max_tokens=100)


@server.tool(structured_output=False)
async def test_sampling(
    prompt: str, answer: Annotated[CreateMessageResult, Resolve(ask_model)]
) -> str:
    """Ask the client's model."""
    text = answer.content.text if isinstance(answer.content, TextContent) else ""
    return f"LLM response: {text}"


class Reply(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


def ask_user(message: str) -> Elicit[Reply]:
    """The question that ``test_elicitation`` depends on."""
    return Elicit(message, Reply)


@server.tool(structured_output=False)
async def test_elicitation(
    message: str, answer: Annotated[ElicitationResult[Reply], Resolve(ask_user)]
) -> str:
    """Ask the user."""
    content = answer.data.model_dump() if answer.action == "accept" else None
    return f"User response: action={answer.action}, content={content}"


@server.tool(structured_output=False)
async def greet(name: str = "World") -> str:
    """Answer at once, never as a task."""
    return f"Hello, {name}!"


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


# Up to 2025-11-25 a session subscribes, and the books are ours: URI, key of the session, session.
# The standalone stream of a session outlives the request that subscribed.
watchers: dict[str, dict[str, ServerSession]] = {}


def session_key(ctx: ServerRequestContext) -> str:
    """What tells sessions apart: a header, or in HTTP+SSE a part of the address."""
    request = ctx.request
    return request.headers.get("mcp-session-id") or request.query_params.get("session_id", "")


async def subscribe(ctx: ServerRequestContext, params: SubscribeRequestParams) -> EmptyResult:
    watchers.setdefault(str(params.uri), {})[session_key(ctx)] = ctx.session
    return EmptyResult()


async def unsubscribe(ctx: ServerRequestContext, params: UnsubscribeRequestParams) -> EmptyResult:
    watchers.get(str(params.uri), {}).pop(session_key(ctx), None)
    return EmptyResult()


# MCPServer has no public way yet; its migration guide names this one
lowlevel = server._lowlevel_server
lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, unsubscribe)


@server.tool(structured_output=False)
async def test_trigger_resource_update(uri: str, ctx: Context) -> str:
    """Announce that a resource changed."""
    await ctx.notify_resource_updated(uri)  # subscriptions/listen, of 2026-07-28
    for session in list(watchers.get(uri, {}).values()):
        await session.send_resource_updated(uri)
    return f"announced {uri}"


# --- prompts and completion ------------------------------------------------------------------


@server.prompt()
async def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@server.prompt()
async def test_prompt_with_arguments(
    arg1: Annotated[str, Field(description="First test argument")],
    arg2: Annotated[str, Field(description="Second test argument")],
) -> str:
    """A prompt with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.completion()
async def complete(
    ref: PromptReference | ResourceTemplateReference,
    argument: CompletionArgument,
    context: CompletionContext | None,
) -> Completion | None:
    """Words that begin with what was typed."""
    if not isinstance(ref, PromptReference) or ref.name != "test_prompt_with_arguments":
        return None
    if argument.name != "arg1":
        return None
    words = [word for word in WORDS if word.startswith(argument.value)]
    return Completion(values=words, total=len(words), has_more=False)


# --- serving ---------------------------------------------------------------------------------


class Events(EventStore):
    """Every event since the start, in memory.

    The SDK names a stream by its request alone, so sessions whose ids agree share a stream here.
    """

    def __init__(self) -> None:
        self.ids = count(1)
        self.events: dict[str, tuple[str, JSONRPCMessage | None]] = {}

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        event_id = str(next(self.ids))
        self.events[event_id] = stream_id, message
        return event_id

    async def replay_events_after(self, last_event_id: str, send: EventCallback) -> str | None:
        if last_event_id not in self.events:
            return None
        wanted, _ = self.events[last_event_id]
        for event_id, (stream_id, message) in list(self.events.items()):
            later = int(event_id) > int(last_event_id)
            if later and stream_id == wanted and message is not None:
                await send(EventMessage(message, event_id))
        return wanted


class Announced(uvicorn.Server):
    """Says on stdout when it listens."""

    async def startup(self, *args: Any, **options: Any) -> None:
        await super().startup(*args, **options)
        print("ready", flush=True)


if __name__ == "__main__":
    app = server.streamable_http_app(event_store=Events(), retry_interval=500)
    app.routes.extend(server.sse_app().routes)
    config = uvicorn.Config(
        app, host=HOST, port=PORT, log_level="warning", timeout_graceful_shutdown=1
    )
    Announced(config).run()
