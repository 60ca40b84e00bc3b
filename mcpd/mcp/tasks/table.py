"""The tasks of this process: found by id and by owner, with a bound on both and on results.

Nothing here looks at all tasks: what a step costs does not depend on how many there are.
"""

import heapq
from collections.abc import Iterator

import msgspec

from mcpd.auth.principals import Principal
from mcpd.limits.caps import Caps
from mcpd.mcp.tasks.task import Task


class TaskTable:
    """Tasks until their time to live is over.

    Args:
        caps: on tasks, and on the bytes of their results.
    """

    def __init__(self, caps: Caps) -> None:
        self.by_id: dict[str, Task] = {}
        self._caps = caps
        self._of: dict[str, dict[str, Task]] = {}  # by the key of their owner, oldest first
        self._due: list[tuple[float, str]] = []  # a heap: when a task expires, and its id
        self._result_bytes: dict[str, int] = {}  # by the id of their task

    def add(self, task: Task) -> None:
        """Keep a task.

        Raises:
            TooManyRequests, Unavailable: the owner, or all owners together, have too many.
        """
        key = task.owner.key
        self._caps.tasks.take(key)
        self.by_id[task.id] = task
        self._of.setdefault(key, {})[task.id] = task
        heapq.heappush(self._due, (task.created_at + task.ttl_ms / 1000, task.id))

    def set_result(self, task: Task, result: bytes) -> None:
        """Keep the result of a task, once.

        Raises:
            TooManyRequests, Unavailable: there is no room for it.
        """
        self._caps.task_results.take(task.owner.key, len(result))
        self._result_bytes[task.id] = len(result)
        task.result = msgspec.Raw(result)

    def of(self, owner: Principal) -> list[Task]:
        """An owner's tasks, oldest first."""
        return list(self._of.get(owner.key, {}).values())

    def expired(self, now: float) -> Iterator[Task]:
        """Take out each task whose time is over."""
        while self._due and self._due[0][0] <= now:
            task = self.by_id.get(heapq.heappop(self._due)[1])
            if task is not None:  # it may have been taken out before
                self.remove(task)
                yield task

    def remove(self, task: Task) -> None:
        """Take out a task, if it is there."""
        if self.by_id.pop(task.id, None) is None:
            return
        key = task.owner.key
        mine = self._of[key]
        del mine[task.id]
        if not mine:
            del self._of[key]
        self._caps.tasks.give_back(key)
        self._caps.task_results.give_back(key, self._result_bytes.pop(task.id, 0))
