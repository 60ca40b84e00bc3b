"""A task as other processes see it: a record, and commands to the process that runs it. Pure."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mcpd.auth.principals import Principal
from mcpd.mcp.tasks.task import NO_TOOL, Called, OpenQuestion, Status, Task


class StoredQuestion(msgspec.Struct, frozen=True):
    """A question of a task in another process: its words; that process reads the answer."""

    method: str
    params: dict[str, Any]
    key: str = ""

    @property
    def capability(self) -> dict[str, Any]:
        """It was checked where it was asked."""
        return {}

    def read(self, result: Mapping[str, Any]) -> Any:
        """As it came."""
        return dict(result)


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a task."""

    id: str
    process: str
    subject: str
    issuer: str
    created_at: float
    updated_at: float
    ttl_ms: int
    status: Status
    message: str = ""
    result: bytes | None = None
    error: dict[str, Any] | None = None
    questions: dict[str, StoredQuestion] = {}
    tool: Called = NO_TOOL


class TaskCommand(msgspec.Struct, frozen=True, omit_defaults=True):
    """What another process wants of a task."""

    cancel: bool = False
    answers: dict[str, Any] = {}
    refused: list[str] = []


_record = msgspec.json.Decoder(Record)
_command = msgspec.json.Decoder(TaskCommand)
encode = msgspec.json.Encoder().encode
read_command = _command.decode


async def _nobody(command: TaskCommand) -> None:
    """A task that was made here has no other process."""


@dataclass(eq=False, slots=True)
class DistantTask(Task):
    """A task that runs, or ran, in another process, as it was when its record was written.
    ``send`` leaves a command for that process; it raises StoreError.
    """

    process: str = ""
    send: Callable[[TaskCommand], Awaitable[None]] = field(default=_nobody)


def record_of(task: Task, process: str) -> bytes:
    """The record of a task of this process."""
    asked = {
        key: StoredQuestion(found.question.method, found.question.params, key)
        for key, found in task.questions.items()
    }
    return encode(
        Record(
            task.id,
            process,
            task.owner.subject,
            task.owner.issuer,
            task.created_at,
            task.updated_at,
            task.ttl_ms,
            task.status,
            task.message,
            None if task.result is None else bytes(task.result),
            task.error,
            asked,
            task.tool,
        )
    )


def task_of(data: bytes) -> DistantTask:
    """The task behind a record."""
    record = _record.decode(data)
    task = DistantTask(
        Principal(record.subject, record.issuer),
        record.created_at,
        record.ttl_ms,
        id=record.id,
        status=record.status,
        message=record.message,
        updated_at=record.updated_at,
        result=None if record.result is None else msgspec.Raw(record.result),
        error=record.error,
        process=record.process,
        tool=record.tool,
    )
    task.questions = {key: OpenQuestion(asked) for key, asked in record.questions.items()}
    return task
