"""tools/list and tools/call (MCP, server/tools)."""

from typing import Any

import msgspec

from mcpd.app.app import App
from mcpd.app.context import Context
from mcpd.app.function import WrongArguments
from mcpd.app.tool import Tool
from mcpd.errors import InvalidParams, MissingClientCapability, ToolError
from mcpd.mcp.catalog.catalog import Offered
from mcpd.mcp.catalog.tool_results import call_result, error_result
from mcpd.mcp.encoding import encode
from mcpd.mcp.failures import explain_failure
from mcpd.mcp.make_context import with_context
from mcpd.mcp.methods.listing import list_method
from mcpd.mcp.request import Job, Method, Result, limit_rate, read_params
from mcpd.mcp.task_run import Run, Work
from mcpd.mcp.tasks.choice import Choice, choose
from mcpd.mcp.tasks.record import RELATED_TASK, handshake_form, modern_form
from mcpd.rpc.messages import EMPTY_PARAMS


class _CallParams(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = EMPTY_PARAMS


class _CallName(msgspec.Struct):
    name: Any = None


_call_params = msgspec.json.Decoder(_CallParams)
_call_name = msgspec.json.Decoder(_CallName)
_NULL = msgspec.Raw(b"null")


async def _call(job: Job) -> Result:
    limit_rate(job)
    params = read_params(_call_params, job.call.params)
    offered = job.services.host.tools.get(params.name)
    if offered is None:
        raise InvalidParams(f"Unknown tool: {params.name[:128]}.", fix="tools/list names them.")
    tool = offered.part
    arguments = EMPTY_PARAMS if params.arguments == _NULL else params.arguments

    async def run(context: Context | None) -> Result:
        return await _run(job, offered, arguments, context)

    choice, ttl_ms = Choice.PLAIN, None
    if job.services.host.keeps_tasks:
        choice, ttl_ms = choose(tool, job.caller, job.call.params)
    if choice is not Choice.PLAIN:
        return await _run_as_task(job, offered.app, run, ttl_ms, at_once=choice is Choice.TASK)
    return await with_context(job, offered.app, wanted=tool.function.wants_context, run=run)


async def _run_as_task(
    job: Job, app: App, run: Run, ttl_ms: int | None, *, at_once: bool
) -> Result:
    work = Work(job, app, run, encode, ttl_ms=ttl_ms)
    if at_once:
        work.detach()
    work.begin()
    result = await work.wait_settled()
    if work.task is None:
        return {} if result is None else result
    await job.services.tasks.keep(work.task)
    if job.caller.revision.modern:
        return {"resultType": "task", **modern_form(work.task)}
    related = {RELATED_TASK: {"taskId": work.task.id}}
    return {"task": handshake_form(work.task), "_meta": related}


async def _run(
    job: Job, offered: Offered[Tool], arguments: msgspec.Raw, context: Context | None
) -> Result:
    revision, tool = job.caller.revision, offered.part
    try:
        outcome = await tool.run(arguments, context, job.services.host.threads)
    except WrongArguments as error:
        if not revision.argument_errors_as_results:
            raise InvalidParams(error.message) from error
        return error_result(error.message)
    except (MissingClientCapability, InvalidParams) as error:
        if revision.modern:
            raise  # protocol errors there, with codes of their own
        return error_result(error.message)
    except ToolError as error:
        return error_result(error.message)
    except Exception as error:
        return error_result(explain_failure(tool.name, error))
    return call_result(tool, outcome, revision)


def _may_stream(job: Job) -> bool:
    """A tool without a Context has nothing to send but its result."""
    name = _call_name.decode(job.call.params).name
    offered = job.services.host.tools.get(name) if isinstance(name, str) else None
    return offered is not None and offered.part.function.wants_context


def _is_repeatable(job: Job) -> bool:
    """MCP, ToolAnnotations: as the tool's author declared it; nothing is taken for granted."""
    name = _call_name.decode(job.call.params).name
    offered = job.services.host.tools.get(name) if isinstance(name, str) else None
    hints = None if offered is None else offered.part.hints
    return hints is not None and bool(hints.read_only or hints.idempotent)


METHODS = {
    "tools/list": list_method("tools"),
    "tools/call": Method(_call, streams=_may_stream, repeatable=_is_repeatable),
}
