"""A task, the table of its moves, and its forms on the wire."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
import trio

from mcpd.app.questions import Question
from mcpd.auth.principals import Principal
from mcpd.errors import ToolError

RELATED_TASK = "io.modelcontextprotocol/related-task"
POLL_INTERVAL_MS = 500


class Status(StrEnum):
    """See both specifications, "Task Status"."""

    WORKING = "working"
    INPUT_REQUIRED = "input_required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


# status → where it may go. A terminal status is final.
MOVES: dict[Status, set[Status]] = {
    Status.WORKING: {
        Status.INPUT_REQUIRED, Status.COMPLETED, Status.FAILED, Status.CANCELLED
    },
    Status.INPUT_REQUIRED: {
        Status.WORKING, Status.COMPLETED, Status.FAILED, Status.CANCELLED
    },
    Status.COMPLETED: set(),
    Status.FAILED: set(),
    Status.CANCELLED: set(),
}  # fmt: skip


@dataclass(eq=False, slots=True)
class OpenQuestion:
    """A question that the task waits for."""

    question: Question
    answered: trio.Event = field(default_factory=trio.Event)
    answer: Any = None
    refusal: ToolError | None = None


class Called(msgspec.Struct, frozen=True, omit_defaults=True):
    """The tool of a task: who may not use it may not see what it made."""

    name: str = ""
    scopes: tuple[str, ...] = ()


NO_TOOL = Called()


@dataclass(eq=False, slots=True)
class Task:
    """One task of one principal. Times are Unix seconds."""

    owner: Principal
    created_at: float
    ttl_ms: int
    id: str = field(default_factory=lambda: secrets.token_urlsafe(24))  # unguessable
    status: Status = Status.WORKING
    message: str = ""
    updated_at: float = 0.0
    result: msgspec.Raw | None = None
    error: dict[str, Any] | None = None
    questions: dict[str, OpenQuestion] = field(default_factory=dict)
    used_keys: set[str] = field(default_factory=set)  # a key is never used twice
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    changed: trio.Event = field(default_factory=trio.Event)
    on_change: list[Callable[["Task"], None]] = field(default_factory=list)
    tool: Called = NO_TOOL
    keeping: trio.Lock = field(default_factory=trio.Lock)  # an older record never goes last

    @property
    def terminal(self) -> bool:
        """Whether nothing changes any more."""
        return not MOVES[self.status]

    def move(self, status: Status, now: float) -> bool:
        """Go to a status if the table has that move; False: it has not, and nothing changed."""
        if status not in MOVES[self.status]:
            return False
        self.status = status
        self.touch(now)
        return True

    def touch(self, now: float) -> None:
        """Something else changed; those who wait are told."""
        self.updated_at = now
        self.changed.set()
        self.changed = trio.Event()
        for listener in self.on_change:
            listener(self)

    def new_key(self, question: Question) -> str:
        """A key for a question, unique over the task's life."""
        base = question.key or question.method.partition("/")[0]
        number = len(self.used_keys) + 1
        key = base if question.key and base not in self.used_keys else f"{base}-{number}"
        self.used_keys.add(key)
        return key


def modern_form(task: Task) -> dict[str, Any]:
    """SEP-2663, Task."""
    return _common(task) | {"ttlMs": task.ttl_ms, "pollIntervalMs": POLL_INTERVAL_MS}


def detailed_form(task: Task) -> dict[str, Any]:
    """SEP-2663, DetailedTask: what the status brings with it."""
    form = modern_form(task)
    if task.status is Status.INPUT_REQUIRED:
        form["inputRequests"] = {
            key: {"method": found.question.method, "params": found.question.params}
            for key, found in task.questions.items()
        }
    if task.result is not None:
        form["result"] = task.result
    if task.error is not None:
        form["error"] = task.error
    return form


def handshake_form(task: Task) -> dict[str, Any]:
    """MCP 2025-11-25, basic/utilities/tasks, Task."""
    return _common(task) | {"ttl": task.ttl_ms, "pollInterval": POLL_INTERVAL_MS}


def _common(task: Task) -> dict[str, Any]:
    form: dict[str, Any] = {
        "taskId": task.id,
        "status": task.status.value,
        "createdAt": _iso_8601(task.created_at),
        "lastUpdatedAt": _iso_8601(task.updated_at or task.created_at),
    }
    return form | ({"statusMessage": task.message} if task.message else {})


def _iso_8601(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
