"""The tasks of this process, and those of others as far as the store knows them: found by their
owner alone, bounded in number and in time.
"""

import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from mcpd.app.questions import BadAnswer
from mcpd.auth.principals import Principal
from mcpd.clock import SteadyClock
from mcpd.errors import InvalidParams, StoreError, ToolError
from mcpd.limits.caps import Caps
from mcpd.mcp.tasks.record import DistantTask, TaskCommand
from mcpd.mcp.tasks.sync import TaskSync
from mcpd.mcp.tasks.table import TaskTable
from mcpd.mcp.tasks.task import NO_TOOL, Called, Status, Task
from mcpd.sessions.bus import Bus
from mcpd.sessions.retry import retry_while_away
from mcpd.sessions.task_store import TaskStore

log = logging.getLogger("mcpd.tasks")

DEFAULT_TTL_MS = 60 * 60 * 1000
MAX_TTL_MS = 24 * 60 * 60 * 1000
PAGE = 100
EXPIRE_EVERY_S = 15.0  # that no client asks for; others at once
LOOK_AGAIN_S = 0.5  # at a task of another process

_ID = re.compile(r"[A-Za-z0-9_-]{32}")  # as ``Task`` makes them: anything else is not looked up


class Tasks:
    """Every task until its time to live is over.

    Args:
        store: where other processes look; None: there are none, and nothing outlives this one.
        process: the name of this one.
        caps: on tasks and on the bytes of their results.
    """

    def __init__(
        self,
        *,
        caps: Caps | None = None,
        store: TaskStore | None = None,
        bus: Bus | None = None,
        process: str = "",
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._table = TaskTable(Caps() if caps is None else caps)
        clock = SteadyClock() if clock is None else clock
        self.clock = clock
        self.on_change: list[Callable[[Task], None]] = []
        self.sync: TaskSync | None = None
        if store is not None:
            self.sync = TaskSync(
                store,
                bus or Bus(),
                process,
                clock=clock,
                ours=self._table.by_id,
                apply=self.apply,
                tell=self._tell,
                lose=self._lose,
            )

    async def run(self) -> None:
        """Stop tasks whose time is over, and keep the other processes informed, for ever."""
        async with trio.open_nursery() as nursery:
            if self.sync is not None:
                nursery.start_soon(self.sync.run)
            while True:
                await trio.sleep(EXPIRE_EVERY_S)
                self._expire()

    # --- making and finding -------------------------------------------------------------------

    def create(
        self, owner: Principal, ttl_ms: int | None = None, *, tool: Called = NO_TOOL
    ) -> Task:
        """A task that works, in this process; ``keep`` makes it known.

        Raises:
            TooManyRequests, Unavailable: the owner, or all owners together, have too many.
        """
        self._expire()
        wanted = DEFAULT_TTL_MS if ttl_ms is None else max(1, min(ttl_ms, MAX_TTL_MS))
        task = Task(owner, self.clock(), wanted, tool=tool)
        task.on_change = [self._changed]
        self._table.add(task)
        return task

    def finish(self, task: Task, status: Status, result: bytes) -> None:
        """Give a task of this process its result, unless it is over already.

        Raises:
            TooManyRequests, Unavailable: there is no room for it; the task goes on.
        """
        if not task.terminal and task.id in self._table.by_id:
            self._table.set_result(task, result)
            task.move(status, self.clock())

    async def keep(self, task: Task) -> None:
        """See that every process can find the task, before its client is told of it.

        Raises:
            StoreError: it cannot, and the task is stopped: its client will not hear of it.
        """
        if self.sync is None:
            return
        try:
            await self.sync.write(task)
        except StoreError:
            self._cancel(task)
            self._table.remove(task)
            raise

    async def get(self, owner: Principal, task_id: str) -> Task:
        """The owner's task.

        Raises:
            InvalidParams: there is none of this id, or it has another owner.
            StoreError: whether another process has it cannot be told.
        """
        self._expire()
        task = self._table.by_id.get(task_id)
        if task is None and self.sync is not None and _ID.fullmatch(task_id):
            task = await self.sync.get(task_id)
        if task is None or not _may_have(owner, task):
            raise InvalidParams("There is no such task: it expired, or never was.")
        return task

    async def page(self, owner: Principal, cursor: str | None) -> tuple[list[Task], str | None]:
        """One page of the owner's tasks, oldest first, and the cursor of the next.

        Raises:
            InvalidParams: the cursor is not one of ours.
            StoreError: what other processes have cannot be told.
        """
        self._expire()
        mine = self._table.of(owner)
        if self.sync is not None:
            mine = await self.sync.join(owner, mine)
        mine = [task for task in mine if _may_have(owner, task)]
        start = 0
        if cursor is not None:
            places = [place for place, task in enumerate(mine) if task.id == cursor]
            if not places:
                raise InvalidParams("The cursor is not valid.", fix="List from the start.")
            start = places[0]
        rest = mine[start + PAGE :]
        return mine[start : start + PAGE], rest[0].id if rest else None

    async def wait_changed(self, task: Task) -> Task:
        """Wait until something may have changed, and return the task as it is then.

        Raises:
            InvalidParams: it expired meanwhile.
            StoreError: the store stayed away.
        """
        if not isinstance(task, DistantTask):
            await task.changed.wait()
            return task
        await trio.sleep(LOOK_AGAIN_S)
        current: Task = await retry_while_away(partial(self.get, task.owner, task.id))
        return current

    # --- what clients want of a task ----------------------------------------------------------

    async def answer(self, task: Task, responses: dict[str, Any]) -> None:
        """Take answers to what the task asked; others are ignored.

        Raises:
            InvalidParams: an answer does not fit its question; none was taken.
            StoreError: the process that runs the task cannot be reached.
        """
        if isinstance(task, DistantTask):
            await task.send(TaskCommand(answers=responses))
        else:
            self._answer(task, responses)

    def _answer(self, task: Task, responses: dict[str, Any]) -> None:
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

    async def refuse(self, task: Task, keys: list[str], refusal: ToolError) -> None:
        """The client does not answer these questions; the tool is to know, and decides.

        Raises:
            StoreError: see ``answer``.
        """
        if isinstance(task, DistantTask):
            await task.send(TaskCommand(refused=keys))
        else:
            self._refuse(task, keys, refusal)

    def _refuse(self, task: Task, keys: list[str], refusal: ToolError) -> None:
        for key in keys:
            question = task.questions.pop(key, None)
            if question is not None:
                question.refusal = refusal
                question.answered.set()
        if not task.questions:
            task.move(Status.WORKING, self.clock())

    async def cancel(self, task: Task) -> bool:
        """Stop the work; False: the task was over already.

        Raises:
            StoreError: see ``answer``.
        """
        if isinstance(task, DistantTask) and not task.terminal:
            await task.send(TaskCommand(cancel=True))
            return task.move(Status.CANCELLED, self.clock())
        return self._cancel(task)

    def _cancel(self, task: Task) -> bool:
        if not task.move(Status.CANCELLED, self.clock()):
            return False
        task.questions.clear()
        task.scope.cancel()
        return True

    # --- helpers ------------------------------------------------------------------------------

    def _changed(self, task: Task) -> None:
        if self.sync is None:
            self._tell(task)
        else:
            self.sync.changed(task)

    def _tell(self, task: Task) -> None:
        for listener in self.on_change:
            listener(task)

    def _lose(self, task: Task) -> None:
        """Its end was decided elsewhere, and what is done here does not count any more."""
        task.scope.cancel()
        self._table.remove(task)

    def apply(self, task: Task, command: TaskCommand) -> None:
        """Do what another process wants of a task of ours."""
        if command.cancel:
            self._cancel(task)
        if command.refused:
            self._refuse(task, command.refused, ToolError("The client refused to answer."))
        try:
            self._answer(task, command.answers)
        except InvalidParams as error:
            log.info("an answer to a task does not fit: %s", error.message)

    def _expire(self) -> None:
        """Tasks past their time go; those that still work are stopped."""
        for task in self._table.expired(self.clock()):
            self._cancel(task)


def _may_have(principal: Principal, task: Task) -> bool:
    """Whether it is the principal's, and of a tool that it may use: a key may have less than its
    owner, and a user less than before.
    """
    if not task.owner.owns(principal.issuer, principal.subject):
        return False
    rights = principal.rights
    return rights.shows("tools", task.tool) and not rights.missing(task.tool.scopes)
