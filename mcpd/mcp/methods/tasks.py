"""tasks/get, update, cancel of the extension; tasks/get, list, cancel, result of 2025-11-25."""

from typing import Any

import msgspec
import trio

from mcpd.errors import InvalidParams, ToolError
from mcpd.mcp.failures import first_failure
from mcpd.mcp.request import Job, Method, Result, read_params
from mcpd.mcp.tasks.choice import declares_tasks, needs_tasks
from mcpd.mcp.tasks.record import (
    RELATED_TASK,
    Status,
    Task,
    detailed_form,
    handshake_form,
)
from mcpd.mcp.tasks.snapshot import AskedElsewhere
from mcpd.rpc.messages import error_from_object


class _Params(msgspec.Struct, rename="camel"):
    task_id: str
    input_responses: dict[str, Any] = {}


class _ListParams(msgspec.Struct):
    cursor: str | None = None


_params = msgspec.json.Decoder(_Params)
_list_params = msgspec.json.Decoder(_ListParams)


async def _task(job: Job) -> tuple[Task, _Params]:
    if job.caller.revision.modern and not declares_tasks(job.caller):
        raise needs_tasks(f"{job.call.method} needs the tasks extension.")
    params = read_params(_params, job.call.params)
    return await job.services.tasks.get(job.caller.principal, params.task_id), params


async def _get(job: Job) -> Result:
    task, _ = await _task(job)
    return detailed_form(task) if job.caller.revision.modern else handshake_form(task)


async def _update(job: Job) -> Result:
    task, params = await _task(job)
    await job.services.tasks.answer(task, params.input_responses)
    return {}


async def _cancel(job: Job) -> Result:
    task, _ = await _task(job)
    cancelled = await job.services.tasks.cancel(task)
    if job.caller.revision.modern:
        return {}
    if not cancelled:
        raise InvalidParams(f"The task is {task.status.value} already.")
    return handshake_form(task)


async def _list(job: Job) -> Result:
    cursor = read_params(_list_params, job.call.params).cursor
    found, following = await job.services.tasks.page(job.caller.principal, cursor)
    result: dict[str, Any] = {"tasks": [handshake_form(task) for task in found]}
    return result | ({"nextCursor": following} if following else {})


async def _result(job: Job) -> Result:
    """Blocks until the task is over, then is exactly what the call would have been; meanwhile
    what the task asks goes out on this request's stream.
    """
    task, _ = await _task(job)
    related = {RELATED_TASK: {"taskId": task.id}}
    asked: set[str] = set()
    while not task.terminal:
        changed = task.changed
        await _ask_here(job, task, asked)
        if not task.terminal and changed is task.changed:
            task = await job.services.tasks.wait_changed(task)
    if task.error is not None:
        raise error_from_object(task.error)
    if task.status is Status.CANCELLED or task.result is None:
        raise InvalidParams("The task was cancelled and has no result.")
    result: dict[str, Any] = msgspec.json.decode(task.result)
    return {**result, "_meta": {**result.get("_meta", {}), **related}}


async def _ask_here(job: Job, task: Task, asked: set[str]) -> None:
    session, notify = job.caller.session, job.notify
    fresh = [key for key in task.questions if key not in asked]
    if not fresh or session is None or notify is None:
        return
    asked.update(fresh)
    opened = {key: task.questions[key] for key in fresh}
    meta = {RELATED_TASK: {"taskId": task.id}}
    words = [
        AskedElsewhere(found.question.method, found.question.params) for found in opened.values()
    ]

    async def answer() -> None:
        try:
            answers = await job.services.questions.ask(
                job.caller, session.id, notify, words, meta=meta
            )
            await job.services.tasks.answer(task, dict(zip(opened, answers, strict=True)))
        except (ToolError, InvalidParams) as refusal:  # the tool is to know, and decides
            await job.services.tasks.refuse(task, list(opened), ToolError(refusal.message))

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_terminal, job, task, nursery.cancel_scope)
            await answer()
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first_failure(group) from None


async def _until_terminal(job: Job, task: Task, asking: trio.CancelScope) -> None:
    """A task that is over needs no answers any more."""
    while not task.terminal:
        task = await job.services.tasks.wait_changed(task)
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
        streams=lambda job: True,
        repeatable=lambda job: True,
    ),
}
