"""The official Python SDK, 1.x line: python-sdk-1 and, over HTTP+SSE, python-sdk-1-sse."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import common
import mcp.types as types
from common import PROMPT, TEMPLATE, URL, WATCHED, Got, Scenario, plain, shown
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.sse import sse_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl


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


async def no_answer() -> tuple[str, str | None]:
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


@asynccontextmanager
async def transport(client: str, scenario: str) -> AsyncIterator[Any]:
    headers = common.headers(scenario)
    auth = oauth() if scenario == "oauth" else None
    if client == "python-sdk-1-sse":
        async with sse_client(URL.replace("/mcp/", "/sse"), headers, auth=auth) as streams:
            yield streams
        return
    async with (
        create_mcp_http_client(headers, auth=auth) as http,
        streamable_http_client(URL, http_client=http) as (read, write, _),
    ):
        yield read, write


def scenarios_of(
    session: ClientSession, updated: asyncio.Event, revision: str
) -> dict[str, Scenario]:
    async def connected() -> Got:
        return {"revision": revision}

    async def listed() -> Got:
        templates = (await session.list_resource_templates()).resourceTemplates
        return {
            "tools": [each.name for each in (await session.list_tools()).tools],
            "resources": [str(each.uri) for each in (await session.list_resources()).resources],
            "templates": [each.uriTemplate for each in templates],
            "prompts": [each.name for each in (await session.list_prompts()).prompts],
        }

    async def progress() -> Got:
        seen: list[float] = []

        async def note(progress: float, total: float | None, message: str | None) -> None:
            seen.append(progress)

        result = await session.call_tool("test_tool_with_progress", {}, progress_callback=note)
        return {"progress": seen, **shown(result)}

    async def cancel() -> Got:
        """The SDK cancels only by a notification sent by hand: initialize was request 0."""
        task = asyncio.create_task(session.call_tool("test_slow", common.slow()))
        await asyncio.sleep(0.5)
        params = types.CancelledNotificationParams(requestId=1, reason="changed my mind")
        notification = types.CancelledNotification(params=params)
        await session.send_notification(types.ClientNotification(notification))
        after = shown(await session.call_tool("test_simple_text", {}))
        task.cancel()  # nothing else ends it: a cancelled call gets no answer
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        return {"cancelled": common.reason(ended), **after}

    async def read(uri: str) -> Any:
        return plain(await session.read_resource(AnyUrl(uri)))["contents"]

    async def resources() -> Got:
        contents = [*await read("test://static-text"), *await read(TEMPLATE)]
        await session.subscribe_resource(AnyUrl(WATCHED))
        await session.call_tool("test_trigger_resource_update", {"uri": WATCHED})
        arrived = await common.arrives(updated)
        await session.unsubscribe_resource(AnyUrl(WATCHED))
        return {"contents": contents, "updated": arrived}

    async def prompts() -> Got:
        simple = await session.get_prompt("test_simple_prompt")
        filled = await session.get_prompt(PROMPT, common.PROMPT_ARGUMENTS)
        reference = types.PromptReference(type="ref/prompt", name=PROMPT)
        completed = await session.complete(reference, {"name": "arg1", "value": "par"})
        return {
            "messages": [*plain(simple)["messages"], *plain(filled)["messages"]],
            "completion": completed.completion.values,
        }

    return {
        **common.calls(session.call_tool, listed),
        "connect": connected,
        "progress": progress,
        "cancel": cancel,
        "resources": resources,
        "prompts": prompts,
    }


@asynccontextmanager
async def connect(client: str, scenario: str) -> AsyncIterator[dict[str, Scenario]]:
    updated = asyncio.Event()

    async def note(message: Any) -> None:
        if isinstance(getattr(message, "root", None), types.ResourceUpdatedNotification):
            updated.set()

    async with (
        transport(client, scenario) as (read, write),
        ClientSession(
            read,
            write,
            sampling_callback=sample if scenario == "sampling" else None,
            elicitation_callback=elicit if scenario == "elicitation" else None,
            message_handler=note,
        ) as session,
    ):
        hello = await session.initialize()
        yield scenarios_of(session, updated, hello.protocolVersion)


common.main(connect)
