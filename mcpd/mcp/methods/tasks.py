"""tasks/get, update, cancel of the extension; tasks/get, list, cancel, result of 2025-11-25."""

from typing import Any

import msgspec
import trio

from mcpd.errors import InvalidParams, ToolError
from mcpd.mcp.failures import first_failure
from mcpd.mcp.questions.conversation import Outlet
from mcpd.mcp.questions.session_asker import SessionAsker
from mcpd.mcp.request import McpRequest, Method, Result, read_params
from mcpd.mcp.tasks.choice import declares_tasks, needs_tasks
from mcpd.mcp.tasks.record import StoredQuestion
from mcpd.mcp.tasks.task import (
    RELATED_TASK,
    Status,
    Task,
    detailed_form,
    handshake_form,
)
from mcpd.rpc.messages import error_from_object


class _Params(msgspec.Struct, rename="camel"):
    task_id: str
    input_responses: dict[str, Any] = {}


class _ListParams(msgspec.Struct):
    cursor: str | None = None


_params = msgspec.json.Decoder(_Params)
_list_params = msgspec.json.Decoder(_ListParams)


async def _task(request: McpRequest) -> tuple[Task, _Params]:
    if request.caller.revision.modern and not declares_tasks(request.caller):
        raise needs_tasks(f"{request.call.method} needs the tasks extension.")
    params = read_params(_params, request.call.params)
    return await request.runtime.tasks.get(request.caller.principal, params.task_id), params


async def _get(request: McpRequest, outlet: Outlet | None) -> Result:
    task, _ = await _task(request)
    return detailed_form(task) if request.caller.revision.modern else handshake_form(task)


async def _update(request: McpRequest, outlet: Outlet | None) -> Result:
    task, params = await _task(request)
    await request.runtime.tasks.answer(task, params.input_responses)
    return {}


async def _cancel(request: McpRequest, outlet: Outlet | None) -> Result:
    task, _ = await _task(request)
    cancelled = await request.runtime.tasks.cancel(task)
    if request.caller.revision.modern:
        return {}
    if not cancelled:
        raise InvalidParams(f"The task is {task.status.value} already.")
    return handshake_form(task)


async def _list(request: McpRequest, outlet: Outlet | None) -> Result:
    cursor = read_params(_list_params, request.call.params).cursor
    found, following = await request.runtime.tasks.page(request.caller.principal, cursor)
    result: dict[str, Any] = {"tasks": [handshake_form(task) for task in found]}
    return result | ({"nextCursor": following} if following else {})


async def _result(request: McpRequest, outlet: Outlet | None) -> Result:
    """Blocks until the task is over, then is exactly what the call would have been; meanwhile
    what the task asks goes out on this request's stream.
    """
    task, _ = await _task(request)
    related = {RELATED_TASK: {"taskId": task.id}}
    asked: set[str] = set()
    while not task.terminal:
        changed = task.changed
        await _ask_here(request, outlet, task, asked)
        if not task.terminal and changed is task.changed:
            task = await request.runtime.tasks.wait_changed(task)
    if task.error is not None:
        raise error_from_object(task.error)
    if task.status is Status.CANCELLED or task.result is None:
        raise InvalidParams("The task was cancelled and has no result.")
    result: dict[str, Any] = msgspec.json.decode(task.result)
    return {**result, "_meta": {**result.get("_meta", {}), **related}}


async def _ask_here(
    request: McpRequest, outlet: Outlet | None, task: Task, asked: set[str]
) -> None:
    session = request.caller.session
    fresh = [key for key in task.questions if key not in asked]
    if not fresh or session is None or outlet is None:
        return
    asked.update(fresh)
    opened = {key: task.questions[key] for key in fresh}
    meta = {RELATED_TASK: {"taskId": task.id}}
    words = [
        StoredQuestion(found.question.method, found.question.params) for found in opened.values()
    ]

    requests = request.runtime.server_requests
    asker = SessionAsker(requests, request.caller, session.id, outlet, meta=meta)

    async def answer() -> None:
        try:
            answers = await asker.ask(words)
            await request.runtime.tasks.answer(task, dict(zip(opened, answers, strict=True)))
        except (ToolError, InvalidParams) as refusal:  # the tool is to know, and decides
            await request.runtime.tasks.refuse(task, list(opened), ToolError(refusal.message))

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_terminal, request, task, nursery.cancel_scope)
            await answer()
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first_failure(group) from None


async def _until_terminal(request: McpRequest, task: Task, asking: trio.CancelScope) -> None:
    """A task that is over needs no answers any more."""
    while not task.terminal:
        task = await request.runtime.tasks.wait_changed(task)
    asking.cancel()


METHODS = {
    "tasks/get": Method(_get, needs_tasks=True),
    "tasks/update": Method(_update, handshake=False),
    "tasks/cancel": Method(_cancel, needs_tasks=True),
    "tasks/list": Method(_list, modern=False, needs_tasks=True),
    "tasks/result": Method(
        _result,
        modern=False,
        needs_tasks=True,
        streams=True,
        repeatable=lambda request: True,
    ),
}
