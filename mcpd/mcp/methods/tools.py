"""tools/list and tools/call (MCP, server/tools)."""

from functools import partial

import msgspec

from mcpd.access.rights import Rights
from mcpd.app.context import Context
from mcpd.app.function import WrongArguments
from mcpd.errors import InvalidParams, MissingClientCapability, ToolError
from mcpd.mcp.catalog.catalog import Catalog, Offered
from mcpd.mcp.catalog.provider import ListedTool
from mcpd.mcp.catalog.tool_results import call_result, error_result
from mcpd.mcp.envelope.params import Params
from mcpd.mcp.failures import explain_failure
from mcpd.mcp.make_context import Run, with_context
from mcpd.mcp.methods.listing import list_method
from mcpd.mcp.questions.conversation import Outlet
from mcpd.mcp.request import McpRequest, Method, Result, Target
from mcpd.mcp.task_run import TaskRun
from mcpd.mcp.tasks.choice import Choice, choose
from mcpd.mcp.tasks.task import RELATED_TASK, handshake_form, modern_form


def _find(catalog: Catalog, params: Params, rights: Rights) -> Target | None:
    return catalog.tools.get(params.name) if isinstance(params.name, str) else None


async def _call(request: McpRequest, outlet: Outlet | None) -> Result:
    offered: Offered[ListedTool] | None = request.target
    if offered is None:
        name = request.params.text("name")
        raise InvalidParams(f"Unknown tool: {name[:128]}.", fix="tools/list names them.")
    tool, catalog = offered.part, request.runtime.catalog
    may_be_task = tool.task != "forbidden" or request.params.task is not msgspec.UNSET
    if may_be_task and catalog.keeps_tasks:
        choice, ttl_ms = choose(tool, request.caller, request.params.task)
        if choice is not Choice.PLAIN:
            run = partial(_run, request, tool)
            return await _run_as_task(request, offered, run, ttl_ms, at_once=choice is Choice.TASK)
    if not tool.wants_context:
        return await _run(request, tool, None)
    return await with_context(request, offered.provider, outlet, partial(_run, request, tool))


async def _run_as_task(
    request: McpRequest,
    offered: Offered[ListedTool],
    run: Run,
    ttl_ms: int | None,
    *,
    at_once: bool,
) -> Result:
    task_run = TaskRun(request, offered.provider, run, ttl_ms=ttl_ms)
    if at_once:
        task_run.detach()
    task_run.begin()
    result = await task_run.wait_settled()
    task = task_run.task
    if task is None:
        return {} if result is None else result
    await request.runtime.tasks.keep(task)
    if request.caller.revision.modern:
        return {"resultType": "task", **modern_form(task)}
    return {"task": handshake_form(task), "_meta": {RELATED_TASK: {"taskId": task.id}}}


async def _run(request: McpRequest, tool: ListedTool, context: Context | None) -> Result:
    """In the task of the request, or in that of the MCP task which it became."""
    principal = request.caller.principal
    most = principal.rights.limits.rules.calls_at_once
    if most is None:
        return await _run_counted(request, tool, context)
    with request.runtime.limits.at_once(principal.key, most):
        return await _run_counted(request, tool, context)


async def _run_counted(request: McpRequest, tool: ListedTool, context: Context | None) -> Result:
    revision, catalog = request.caller.revision, request.runtime.catalog
    try:
        outcome = await tool.run(request.params.given_arguments, context, catalog.threads)
        return call_result(tool, outcome, revision, catalog.result_ends)
    except WrongArguments as error:
        if not revision.argument_errors_as_results:
            raise InvalidParams(error.message) from error
        message = error.message
    except (MissingClientCapability, InvalidParams) as error:
        if revision.modern:
            raise  # protocol errors there, with codes of their own
        message = error.message
    except ToolError as error:
        message = error.message
    except Exception as error:
        message = explain_failure(tool.name, error)
    return error_result(message, revision, catalog.result_ends)


def _is_repeatable(request: McpRequest) -> bool:
    """MCP, ToolAnnotations: as the tool's author declared it; nothing is taken for granted."""
    hints = None if request.target is None else request.target.part.hints
    return hints is not None and bool(hints.read_only or hints.idempotent)


METHODS = {
    "tools/list": list_method("tools"),
    "tools/call": Method(_call, find=_find, costs=True, repeatable=_is_repeatable),
}
