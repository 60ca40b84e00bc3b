"""What a task is, and what manage_task answers."""

from typing import Literal

import msgspec

Status = Literal["pending", "in_progress", "completed"]
Priority = Literal["low", "medium", "high"]


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """One task of one user. Times are RFC 3339, UTC."""

    id: str
    title: str
    status: Status
    priority: Priority
    created_at: str
    updated_at: str
    description: str = ""
    tags: list[str] = []
    due: str | None = None
    completed_at: str | None = None


class TaskAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to every action; the members that apply are there."""

    action: str
    message: str
    task: Task | None = None
    tasks: list[Task] | None = None
    total: int | None = None  # of all pages
    next_offset: int | None = None
