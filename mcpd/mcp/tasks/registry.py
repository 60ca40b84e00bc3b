"""The tasks of this process: found by their owner alone, bounded in number and in time."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from mcpd.app.questions import BadAnswer
from mcpd.auth.principals import Principal
from mcpd.errors import InvalidParams, TooManyRequests
from mcpd.mcp.tasks.record import Status, Task

MAX_TASKS = 10_000
MAX_PER_OWNER = 1_000
DEFAULT_TTL_MS = 60 * 60 * 1000
MAX_TTL_MS = 24 * 60 * 60 * 1000
PAGE = 100


class Tasks:
    """Every task until its time to live is over."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        self.clock = clock
        self.on_change: list[Callable[[Task], None]] = []

    def create(self, owner: Principal, ttl_ms: int | None = None) -> Task:
        """A task that works.

        Raises:
            TooManyRequests: the owner, or everybody together, has too many.
        """
        self._expire()
        mine = sum(1 for task in self._tasks.values() if _owns(owner, task))
        if mine >= MAX_PER_OWNER or len(self._tasks) >= MAX_TASKS:
            raise TooManyRequests("There are too many tasks.", fix="Wait for some to expire.")
        wanted = DEFAULT_TTL_MS if ttl_ms is None else max(1, min(ttl_ms, MAX_TTL_MS))
        task = Task(owner, self.clock(), wanted)
        task.on_change = self.on_change
        self._tasks[task.id] = task
        return task

    def get(self, owner: Principal, task_id: str) -> Task:
        """The owner's task.

        Raises:
            InvalidParams: there is none of this id, or it is somebody else's.
        """
        self._expire()
        task = self._tasks.get(task_id)
        if task is None or not _owns(owner, task):
            raise InvalidParams("There is no such task: it expired, or never was.")
        return task

    def page(self, owner: Principal, cursor: str | None) -> tuple[list[Task], str | None]:
        """One page of the owner's tasks, oldest first, and the cursor of the next.

        Raises:
            InvalidParams: the cursor is not one of ours.
        """
        self._expire()
        mine = [task for task in self._tasks.values() if _owns(owner, task)]
        start = 0
        if cursor is not None:
            places = [place for place, task in enumerate(mine) if task.id == cursor]
            if not places:
                raise InvalidParams("The cursor is not valid.", fix="List from the start.")
            start = places[0]
        rest = mine[start + PAGE :]
        return mine[start : start + PAGE], rest[0].id if rest else None

    def answer(self, task: Task, responses: dict[str, Any]) -> None:
        """Take answers to what the task asked; others are ignored.

        Raises:
            InvalidParams: an answer does not fit its question; none was taken.
        """
        read = {}
        for key, response in responses.items():
            found = task.questions.get(key)
            if found is not None:
                try:
                    read[key] = found.question.read(response)
                except BadAnswer as error:
                    raise InvalidParams(error.message) from error
        for key, answer in read.items():
            found = task.questions.pop(key)
            found.answer = answer
            found.answered.set()
        if read and not task.questions:
            task.move(Status.WORKING, self.clock())

    def cancel(self, task: Task) -> bool:
        """Stop the work; False: the task was over already."""
        if not task.move(Status.CANCELLED, self.clock()):
            return False
        task.questions.clear()
        task.scope.cancel()
        return True

    def _expire(self) -> None:
        """Tasks past their time go; those that still work are stopped."""
        now = self.clock()
        for task in list(self._tasks.values()):
            if now >= task.created_at + task.ttl_ms / 1000:
                self.cancel(task)
                del self._tasks[task.id]


def _owns(owner: Principal, task: Task) -> bool:
    return task.owner.owns(owner.issuer, owner.subject)
