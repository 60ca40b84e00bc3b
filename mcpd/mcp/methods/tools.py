"""tools/list and tools/call (MCP, server/tools)."""

import logging
from typing import Any

import msgspec

from mcpd.app.context import Context
from mcpd.app.function import WrongArguments
from mcpd.errors import InvalidParams, McpdError, ToolError
from mcpd.http.messages import current_request
from mcpd.mcp.conversation import CallConversation, progress_token
from mcpd.mcp.host import Offered
from mcpd.mcp.job import Job, Method, Result, read_params
from mcpd.mcp.tool_results import call_result, error_result
from mcpd.rpc.messages import EMPTY_PARAMS

log = logging.getLogger("mcpd.tools")


class _ListParams(msgspec.Struct):
    cursor: str | None = None


class _Meta(msgspec.Struct):
    progress_token: Any = msgspec.field(default=msgspec.UNSET, name="progressToken")


class _CallParams(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = EMPTY_PARAMS
    meta: _Meta | None = msgspec.field(default=None, name="_meta")


class _CallName(msgspec.Struct):
    name: Any = None


_list_params = msgspec.json.Decoder(_ListParams)
_call_params = msgspec.json.Decoder(_CallParams)
_call_name = msgspec.json.Decoder(_CallName)
_NULL = msgspec.Raw(b"null")


async def _list(job: Job) -> Result:
    params = read_params(_list_params, job.call.params)
    return job.services.host.tools_page(job.caller.revision, params.cursor)


async def _call(job: Job) -> Result:
    host, revision = job.services.host, job.caller.revision
    params = read_params(_call_params, job.call.params)
    offered = host.tools.get(params.name)
    if offered is None:
        raise InvalidParams(f"Unknown tool: {params.name[:128]}", fix="tools/list names them.")
    arguments = EMPTY_PARAMS if params.arguments == _NULL else params.arguments
    try:
        outcome = await offered.tool.run(arguments, _context(job, offered, params), host.threads)
    except WrongArguments as error:
        if not revision.argument_errors_as_results:
            raise InvalidParams(error.message) from error
        return error_result(error.message)
    except ToolError as error:
        return error_result(error.message)
    except Exception as error:
        return error_result(_explain(offered, error))
    return call_result(offered.tool, outcome, revision)


def _context(job: Job, offered: Offered, params: _CallParams) -> Context | None:
    if not offered.tool.wants_context:
        return None
    token = msgspec.UNSET if params.meta is None else progress_token(params.meta.progress_token)
    conversation = CallConversation(job.caller, token, job.notify)
    return Context(conversation, job.services.host.states.get(offered.app))


def _explain(offered: Offered, error: Exception) -> str:
    """A tool's own words if it meant to speak, else an id and nothing of the inside."""
    leaf: BaseException = error
    while isinstance(leaf, BaseExceptionGroup) and len(leaf.exceptions) == 1:
        leaf = leaf.exceptions[0]  # a nursery in the tool wrapped it
    if isinstance(leaf, McpdError):
        return leaf.message
    request = current_request.get()
    name = "-" if request is None else request.id
    log.error("tool %s failed", offered.tool.name, exc_info=error)
    return f"The tool {offered.tool.name} failed. The server's log has the reason under {name}."


def _may_stream(job: Job) -> bool:
    """A tool without a Context has nothing to send but its result."""
    name = _call_name.decode(job.call.params).name
    offered = job.services.host.tools.get(name) if isinstance(name, str) else None
    return offered is not None and offered.tool.wants_context


METHODS = {
    "tools/list": Method(_list),
    "tools/call": Method(_call, streams=_may_stream),
}
