"""The official Python SDK, 2.x line: python-sdk-2-handshake, python-sdk-2-modern (2026-07-28)."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import common
import mcp_types as types
from common import PROMPT, TEMPLATE, URL, WATCHED, Got, Scenario, plain, shown
from mcp import Client, MCPDeprecationWarning
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

MODERN = "2026-07-28"


class Memory:
    """Where the OAuth provider keeps what it got."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


async def no_browser(url: str) -> None:
    raise RuntimeError(f"no browser to open {url} with")


async def no_answer() -> AuthorizationCodeResult:
    raise RuntimeError("no browser")


def oauth() -> OAuthClientProvider:
    metadata = OAuthClientMetadata(
        client_name="recorder", redirect_uris=[AnyUrl(common.REDIRECT_URL)]
    )
    return OAuthClientProvider(URL, metadata, Memory(), no_browser, no_answer)


async def sample(
    context: Any, params: types.CreateMessageRequestParams
) -> types.CreateMessageResult:
    answer = types.TextContent(type="text", text="hi")
    return types.CreateMessageResult(role="assistant", content=answer, model="m")


async def elicit(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content=dict(common.USER))


async def watched(client: Client, updated: asyncio.Event) -> bool:
    """Whether the notice of a change comes: on a stream of its own since 2026-07-28."""
    trigger = "test_trigger_resource_update", {"uri": WATCHED}
    if client.protocol_version == MODERN:
        async with client.listen(resource_subscriptions=[WATCHED]) as events:
            await client.call_tool(*trigger)
            await asyncio.wait_for(anext(events), common.NOTICE_TIMEOUT_S)
            return True
    with warnings.catch_warnings(action="ignore", category=MCPDeprecationWarning):
        await client.subscribe_resource(WATCHED)
        await client.call_tool(*trigger)
        arrived = await common.arrives(updated)
        await client.unsubscribe_resource(WATCHED)
    return arrived


def scenarios_of(client: Client, updated: asyncio.Event) -> dict[str, Scenario]:
    async def connected() -> Got:
        return {"revision": client.protocol_version}

    async def listed() -> Got:
        templates = (await client.list_resource_templates()).resource_templates
        return {
            "tools": [each.name for each in (await client.list_tools()).tools],
            "resources": [each.uri for each in (await client.list_resources()).resources],
            "templates": [each.uri_template for each in templates],
            "prompts": [each.name for each in (await client.list_prompts()).prompts],
        }

    async def progress() -> Got:
        seen: list[float] = []

        async def note(progress: float, total: float | None, message: str | None) -> None:
            seen.append(progress)

        result = await client.call_tool("test_tool_with_progress", {}, progress_callback=note)
        return {"progress": seen, **shown(result)}

    async def resources() -> Got:
        text, data = [await client.read_resource(uri) for uri in ("test://static-text", TEMPLATE)]
        contents = [*plain(text)["contents"], *plain(data)["contents"]]
        return {"contents": contents, "updated": await watched(client, updated)}

    async def prompts() -> Got:
        simple = await client.get_prompt("test_simple_prompt")
        filled = await client.get_prompt(PROMPT, common.PROMPT_ARGUMENTS)
        reference = types.PromptReference(type="ref/prompt", name=PROMPT)
        completed = await client.complete(reference, {"name": "arg1", "value": "par"})
        return {
            "messages": [*plain(simple)["messages"], *plain(filled)["messages"]],
            "completion": completed.completion.values,
        }

    return {
        **common.calls(client.call_tool, listed),
        "connect": connected,
        "progress": progress,
        "resources": resources,
        "prompts": prompts,
    }


@asynccontextmanager
async def connect(name: str, scenario: str) -> AsyncIterator[dict[str, Scenario]]:
    updated = asyncio.Event()

    async def note(message: types.ServerNotification | Exception) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            updated.set()

    modern = name == "python-sdk-2-modern"
    async with AsyncExitStack() as stack:
        auth = oauth() if scenario == "oauth" else None
        http = create_mcp_http_client(common.headers(scenario), auth=auth)
        client = Client(
            streamable_http_client(URL, http_client=await stack.enter_async_context(http)),
            mode="auto" if modern else "legacy",
            sampling_callback=sample if scenario == "sampling" else None,
            elicitation_callback=elicit if scenario == "elicitation" else None,
            message_handler=note,
        )
        await stack.enter_async_context(client)
        if modern != (client.protocol_version == MODERN):
            raise RuntimeError(f"got revision {client.protocol_version}")
        yield scenarios_of(client, updated)


common.main(connect)
