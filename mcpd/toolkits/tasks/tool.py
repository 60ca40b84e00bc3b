"""The tool manage_task."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

from mcpd.app.app import App
from mcpd.app.context import Context
from mcpd.app.environment import state_dir
from mcpd.errors import ToolError
from mcpd.toolkits.tasks.model import Priority, Status, Task, TaskAnswer
from mcpd.toolkits.tasks.search import MAX_WORDS, Page, SearchTooLarge, TooManyWords, Wanted
from mcpd.toolkits.tasks.store import (
    MAX_BYTES_PER_USER,
    MAX_TASKS_PER_USER,
    TaskStore,
    TooManyBytes,
    TooManyTasks,
)
from mcpd.version import __version__

MAX_PAGE = 200
MAX_OFFSET = 1_000_000

Action = Literal["create", "get", "list", "update", "complete", "delete", "search"]
Title = Annotated[str, Meta(min_length=1, max_length=500, description="What is to be done.")]
Details = Annotated[str, Meta(max_length=20_000, description="Anything more to say of it.")]
Tag = Annotated[str, Meta(min_length=1, max_length=64)]
Tags = Annotated[list[Tag], Meta(max_length=32)]
Due = Annotated[str, Meta(max_length=40)]
Query = Annotated[str, Meta(max_length=500)]


@asynccontextmanager
async def _open_store(app: App) -> AsyncIterator[TaskStore]:
    store = TaskStore(state_dir() / "tasks.sqlite")
    try:
        yield store
    finally:
        store.close()


app = App(
    "mcpd",
    title="mcpd",
    version=__version__,
    instructions="manage_task keeps a task list for the user, across conversations and restarts.",
    lifespan=_open_store,
)


@app.tool(title="Manage tasks", read_only=False, destructive=True, open_world=False)
async def manage_task(
    action: Annotated[Action, Meta(description="What to do.")],
    ctx: Context,
    task_id: Annotated[
        str | None, Meta(description="For get, update, complete and delete.")
    ] = None,
    title: Annotated[Title | None, Meta(description="For create and update.")] = None,
    description: Details | None = None,
    status: Annotated[
        Status | None, Meta(description="For update; a filter for list and search.")
    ] = None,
    priority: Annotated[
        Priority | None, Meta(description="For create and update; else a filter.")
    ] = None,
    tags: Annotated[Tags | None, Meta(description="For create and update.")] = None,
    due: Annotated[Due | None, Meta(description="A date or time.")] = None,
    tag: Annotated[str | None, Meta(description="A filter for list and search.")] = None,
    query: Annotated[Query | None, Meta(description="Words to find, for search.")] = None,
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Tasks in a page.")] = 50,
    offset: Annotated[int, Meta(ge=0, le=MAX_OFFSET, description="Tasks to skip.")] = 0,
) -> TaskAnswer:
    """Keep the user's task list: create, get, list, update, complete, delete and search tasks.

    The list is durable and belongs to the user alone. List and search take the filters status,
    priority and tag, and return pages.
    """
    store: TaskStore = ctx.state
    given: dict[str, Any] = {
        "title": title, "description": description, "status": status, "priority": priority,
        "tags": tags, "due": due,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    if action == "create":
        return await _create(store, ctx.owner, given)
    if action in ("list", "search"):
        if action == "search" and not query:
            raise ToolError("search needs the argument query: the words to find.")
        page = Page(offset, limit)
        wanted = _wanted(query if action == "search" else None, tag)
        await _find(store, ctx.owner, wanted, status=status, priority=priority, page=page)
        return _page(action, page.tasks, page.total, offset)
    if task_id is None:
        raise ToolError(f"{action} needs the argument task_id; list shows the ids.")
    return await _one(store, ctx.owner, action, task_id, given)


def _wanted(text: str | None, tag: str | None) -> Wanted:
    try:
        return Wanted.of(text, tag)
    except TooManyWords:
        raise ToolError(f"query has more than {MAX_WORDS} words; search for fewer.") from None


async def _find(
    store: TaskStore,
    user: str,
    wanted: Wanted,
    *,
    status: str | None,
    priority: str | None,
    page: Page,
) -> None:
    try:
        await store.find(user, wanted, status=status, priority=priority, page=page)
    except SearchTooLarge:
        raise ToolError(
            "There is too much to search at once; narrow it with status or priority, or delete"
            " tasks that are done."
        ) from None


async def _create(store: TaskStore, user: str, given: dict[str, Any]) -> TaskAnswer:
    if "title" not in given:
        raise ToolError("create needs the argument title: what is to be done.")
    now = _now()
    task = Task(
        **{"status": "pending", "priority": "medium", **given},
        id=uuid.uuid4().hex[:12],
        created_at=now,
        updated_at=now,
        completed_at=now if given.get("status") == "completed" else None,
    )
    try:
        await store.add(user, task)
    except TooManyTasks:
        raise ToolError(
            f"There are {MAX_TASKS_PER_USER} tasks already; delete some first."
        ) from None
    except TooManyBytes:
        raise _too_many_bytes() from None
    return TaskAnswer("create", f"Created the task {task.id}.", task=task)


def _page(action: str, tasks: list[Task], total: int, offset: int) -> TaskAnswer:
    end = offset + len(tasks)
    noun = "task" if total == 1 else "tasks"
    return TaskAnswer(
        action,
        f"{total} {noun}, {len(tasks)} shown.",
        tasks=tasks,
        total=total,
        next_offset=end if end < total else None,
    )


async def _one(
    store: TaskStore, user: str, action: str, task_id: str, given: dict[str, Any]
) -> TaskAnswer:
    if action == "get":
        task = await store.get(user, task_id)
        message = "Here it is."
    elif action == "delete":
        task = await store.delete(user, task_id)
        message = "Deleted."
    else:
        try:
            task = await store.change(user, task_id, _changes(action, given))
        except TooManyBytes:
            raise _too_many_bytes() from None
        message = "Completed." if action == "complete" else "Updated."
    if task is None:
        raise ToolError(f"There is no task {task_id[:64]}; list shows the ids.")
    return TaskAnswer(action, message, task=task)


def _too_many_bytes() -> ToolError:
    return ToolError(
        f"The tasks have the {MAX_BYTES_PER_USER // 1024 // 1024} MB already that are kept of one"
        " user; delete or shorten some first."
    )


def _changes(action: str, given: dict[str, Any]) -> dict[str, Any]:
    if action == "complete":
        given = {"status": "completed"}
    elif not given:
        raise ToolError("update needs something to change: title, description, status, ...")
    now = _now()
    if "status" in given:
        given["completed_at"] = now if given["status"] == "completed" else None
    return {**given, "updated_at": now}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
