"""prompts/list and prompts/get (MCP, server/prompts)."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcpd.app.context import Context
from mcpd.app.function import WrongArguments
from mcpd.errors import InvalidParams
from mcpd.mcp.catalog.tool_results import content_for
from mcpd.mcp.failures import explained
from mcpd.mcp.make_context import with_context
from mcpd.mcp.methods.listing import list_method
from mcpd.mcp.request import Job, Method, Result, read_params


class _GetParams(msgspec.Struct):
    name: str
    arguments: dict[str, str] | None = None


class _GetName(msgspec.Struct):
    name: Any = None


_get_params = msgspec.json.Decoder(_GetParams)
_get_name = msgspec.json.Decoder(_GetName)


async def _get(job: Job) -> Result:
    params = read_params(_get_params, job.call.params)
    host, revision = job.services.host, job.caller.revision
    offered = host.prompts.get(params.name)
    if offered is None:
        raise InvalidParams(f"Unknown prompt: {params.name[:128]}.", fix="prompts/list names them.")
    prompt = offered.part

    async def run(context: Context | None) -> Result:
        try:
            with explained(prompt.name):
                messages = await prompt.get(params.arguments or {}, context, host.threads)
        except WrongArguments as error:
            raise InvalidParams(error.message) from error
        spoken = [
            replace(message, content=content_for([message.content], revision)[0])
            for message in messages
        ]
        result: dict[str, Any] = {"messages": spoken}
        return result | ({"description": prompt.description} if prompt.description else {})

    wanted = prompt.function.wants_context
    return await with_context(job, offered.app, wanted=wanted, run=run)


def _may_stream(job: Job) -> bool:
    name = _get_name.decode(job.call.params).name
    offered = job.services.host.prompts.get(name) if isinstance(name, str) else None
    return offered is not None and offered.part.function.wants_context


METHODS = {
    "prompts/list": list_method("prompts"),
    "prompts/get": Method(_get, streams=_may_stream, repeatable=lambda job: True),
}
