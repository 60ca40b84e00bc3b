"""Tasks over several processes: records of ours for the others, and theirs for us."""

import logging
from collections.abc import Callable, Mapping
from functools import partial

import msgspec
import trio

from mcpd.auth.principals import Principal
from mcpd.errors import InternalError, StoreError
from mcpd.limits.seldom import Seldom
from mcpd.mcp.tasks import record as records
from mcpd.mcp.tasks.record import DistantTask, TaskCommand
from mcpd.mcp.tasks.task import Status, Task
from mcpd.rpc.messages import error_object
from mcpd.sessions.bus import Bus, Signal, SignalKind
from mcpd.sessions.task_store import TaskStore

log = logging.getLogger("mcpd.tasks")

STORE_AWAY_S = 1.0  # until the store is tried again


class TaskSync:
    """What other processes are told of our tasks, and what they want of them.

    Args:
        process: the name of this one.
        ours: its tasks.
        apply: does what a command says.
        tell: called when a changed task can be seen everywhere.
        lose: called when a task of ours had come to its end elsewhere.
    """

    def __init__(
        self,
        store: TaskStore,
        bus: Bus,
        process: str,
        *,
        clock: Callable[[], float],
        ours: Mapping[str, Task],
        apply: Callable[[Task, TaskCommand], None],
        tell: Callable[[Task], None],
        lose: Callable[[Task], None],
    ) -> None:
        self._store = store
        self._bus = bus
        self._process = process
        self._clock = clock
        self._ours = ours
        self._apply = apply
        self._tell = tell
        self._lose = lose
        self._stale: dict[str, None] = {}  # records to be written
        self._commanded: dict[str, None] = {}  # tasks with commands to be read
        self._wake = trio.Event()
        bus.listen(SignalKind.TASK, self._has_command)
        bus.on_resync.append(self._look_at_all)

    # --- theirs -------------------------------------------------------------------------------

    async def get(self, task_id: str) -> Task | None:
        """A task of any process.

        Raises:
            StoreError: that cannot be told now.
        """
        record = await self._store.get(task_id)
        return None if record is None else await self._show(record)

    async def join(self, owner: Principal, ours: list[Task]) -> list[Task]:
        """An owner's tasks of all processes, oldest first.

        Raises:
            StoreError: they cannot be told now.
        """
        known = {task.id for task in ours}
        shown = [await self._show(record) for record in await self._store.of(_name(owner))]
        theirs = [
            task
            for task in shown
            if task.id not in known and task.owner.owns(owner.issuer, owner.subject)
        ]
        return sorted([*ours, *theirs], key=lambda task: (task.created_at, task.id))

    async def _show(self, record: bytes) -> Task:
        """The task of a record; one whose process is gone has failed."""
        task = records.task_of(record)
        task.send = partial(self._send, task)
        if task.terminal or not await self._store.is_gone(task.process):
            return task
        error = InternalError("The server process that ran this task ended.")
        task.error = error_object(error)
        task.message = error.message
        task.questions.clear()
        task.move(Status.FAILED, self._clock())
        if await self.write(task):
            return task
        ended = await self._store.get(task.id)  # it came to an end meanwhile
        return task if ended is None else records.task_of(ended)

    async def _send(self, task: Task, command: TaskCommand) -> None:
        await self._store.send_command(task.id, records.encode(command))
        self._bus.publish(Signal(SignalKind.TASK, name=task.id))

    # --- ours ---------------------------------------------------------------------------------

    async def write(self, task: Task) -> bool:
        """Keep the record of a task; False: there is one already that is final.

        Raises:
            StoreError: it was not kept.
        """
        process = task.process if isinstance(task, DistantTask) else self._process
        left_s = task.created_at + task.ttl_ms / 1000 - self._clock()
        if left_s <= 0:
            return True
        async with task.keeping:
            record = records.record_of(task, process)
            return await self._store.put(
                task.id, _name(task.owner), record, ttl_s=left_s, final=task.terminal
            )

    def changed(self, task: Task) -> None:
        """Write the record of a task of ours soon."""
        self._stale[task.id] = None
        self._wake.set()

    def _has_command(self, signal: Signal) -> None:
        if signal.name in self._ours:
            self._commanded[signal.name] = None
            self._wake.set()

    def _look_at_all(self) -> None:
        for task_id, task in self._ours.items():
            if not task.terminal:
                self._commanded[task_id] = self._stale[task_id] = None
        self._wake.set()

    async def run(self) -> None:
        """Write records and read commands, for ever."""
        complaints = Seldom()
        while True:
            if not self._stale and not self._commanded:
                self._wake = trio.Event()
                await self._wake.wait()
            try:
                await self._read_commands()
                await self._write_records()
            except StoreError as error:
                if complaints.is_due(trio.current_time()):
                    log.warning("what tasks do is told later: %s", error.message)
                await trio.sleep(STORE_AWAY_S)
            except Exception:  # one task's record or command must not end the server
                log.exception("a task could not be told to the other processes")
                await trio.sleep(STORE_AWAY_S)

    async def _read_commands(self) -> None:
        for task_id in list(self._commanded):
            self._commanded.pop(task_id, None)  # before the wait: a signal meanwhile puts it back
            try:
                commands = await self._store.commands(task_id)
                if commands:
                    await self._apply_commands(task_id, commands)
            except StoreError:
                self._commanded[task_id] = None
                raise

    async def _apply_commands(self, task_id: str, commands: list[bytes]) -> None:
        """What a command says is harmless when it is done twice, and so it is dropped after."""
        for command in commands:
            task = self._ours.get(task_id)
            if task is not None:
                self._read(task, command)
        await self._store.drop_commands(task_id, len(commands))

    def _read(self, task: Task, command: bytes) -> None:
        try:
            self._apply(task, records.read_command(command))
        except msgspec.DecodeError:
            log.warning("a command to a task cannot be read: another version wrote it")

    async def _write_records(self) -> None:
        for task_id in list(self._stale):
            task = self._ours.get(task_id)
            self._stale.pop(task_id, None)
            if task is None:
                continue
            try:
                kept = await self.write(task)
            except StoreError:
                self._stale[task_id] = None
                raise
            if not kept:
                self._lose(task)
            self._tell(task)


def _name(owner: Principal) -> str:
    return f"{owner.issuer} {owner.subject}"
