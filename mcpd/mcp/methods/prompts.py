"""prompts/list and prompts/get (MCP, server/prompts)."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcpd.access.rights import Rights
from mcpd.app.context import Context
from mcpd.app.function import WrongArguments
from mcpd.errors import InvalidParams
from mcpd.mcp.catalog.catalog import Catalog, Offered
from mcpd.mcp.catalog.provider import ListedPrompt
from mcpd.mcp.catalog.tool_results import content_for
from mcpd.mcp.envelope.params import Params
from mcpd.mcp.failures import explained
from mcpd.mcp.make_context import with_context
from mcpd.mcp.methods.listing import list_method
from mcpd.mcp.questions.conversation import Outlet
from mcpd.mcp.request import McpRequest, Method, Result, Target, read_params

_arguments = msgspec.json.Decoder(dict[str, str])


def _find(catalog: Catalog, params: Params, rights: Rights) -> Target | None:
    return catalog.prompts.get(params.name) if isinstance(params.name, str) else None


async def _get(request: McpRequest, outlet: Outlet | None) -> Result:
    name = request.params.text("name")
    arguments = read_params(_arguments, request.params.given_arguments, member="arguments")
    offered: Offered[ListedPrompt] | None = request.target
    if offered is None:
        raise InvalidParams(f"Unknown prompt: {name[:128]}.", fix="prompts/list names them.")
    prompt, threads = offered.part, request.runtime.catalog.threads

    async def run(context: Context | None) -> Result:
        try:
            with explained(prompt.name):
                messages = await prompt.get(arguments, context, threads)
        except WrongArguments as error:
            raise InvalidParams(error.message) from error
        spoken = [
            replace(message, content=content_for([message.content], request.caller.revision)[0])
            for message in messages
        ]
        result: dict[str, Any] = {"messages": spoken}
        return result | ({"description": prompt.description} if prompt.description else {})

    if not prompt.wants_context:
        return await run(None)
    return await with_context(request, offered.provider, outlet, run)


METHODS = {
    "prompts/list": list_method("prompts"),
    "prompts/get": Method(_get, find=_find, kind="prompts", repeatable=lambda request: True),
}
