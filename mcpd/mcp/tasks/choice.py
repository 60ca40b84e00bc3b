"""Whether a call becomes a task: the tool's wish, the client's abilities, the revision. Pure."""

from enum import Enum, auto
from typing import Any

import msgspec

from mcpd.errors import InvalidParams, MethodNotFound, MissingClientCapability
from mcpd.mcp.catalog.provider import ListedTool
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.envelope.params import TASKS_EXTENSION


class Choice(Enum):
    """How to serve a call."""

    PLAIN = auto()
    TASK = auto()  # at once
    LATE = auto()  # when the tool says so


class _TaskMetadata(msgspec.Struct):
    ttl: int | None = None


def choose(tool: ListedTool, caller: Caller, given: Any) -> tuple[Choice, int | None]:
    """The choice, and the time to live that the client asked for, in milliseconds.

    Args:
        given: params.task of 2025-11-25, or UNSET.

    Raises:
        MissingClientCapability: the tool only runs as a task, and the client cannot take one.
        MethodNotFound: the same in 2025-11-25, or a task of a tool that cannot be one.
        InvalidParams: the client's ``task`` is malformed.
    """
    if caller.revision.modern:
        return _choose_modern(tool, caller), None
    if not caller.revision.tasks:
        return Choice.PLAIN, None
    if given is msgspec.UNSET:
        if tool.task == "required":
            raise MethodNotFound(f"{tool.name} only runs as a task.", fix="Send params.task.")
        return Choice.PLAIN, None
    if tool.task == "forbidden":
        raise MethodNotFound(f"{tool.name} does not run as a task.", fix="Leave params.task out.")
    try:
        ttl_ms = msgspec.convert(given, _TaskMetadata).ttl
    except msgspec.ValidationError as error:
        raise InvalidParams(f"params.task is wrong: {error}.") from error
    return Choice.TASK, ttl_ms


def _choose_modern(tool: ListedTool, caller: Caller) -> Choice:
    if tool.task == "forbidden":
        return Choice.PLAIN
    if not declares_tasks(caller):
        if tool.task == "required":
            raise needs_tasks(f"{tool.name} only runs as a task.")
        return Choice.PLAIN
    return Choice.LATE if tool.task == "late" else Choice.TASK


def declares_tasks(caller: Caller) -> bool:
    """Whether the client declared the extension on this request."""
    extensions = caller.client_capabilities.get("extensions")
    return isinstance(extensions, dict) and TASKS_EXTENSION in extensions


def needs_tasks(message: str) -> MissingClientCapability:
    """The refusal of a client that did not declare the extension."""
    return MissingClientCapability(
        message, data={"requiredCapabilities": {"extensions": {TASKS_EXTENSION: {}}}}
    )
