"""A tool's run as a task: it outlives its request and ends in its record."""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
import trio

from mcpd.app.context import Context
from mcpd.app.questions import Question
from mcpd.cancellation import split_cancelled
from mcpd.errors import InternalError, McpdError, ToolError
from mcpd.mcp.catalog.provider import Provider
from mcpd.mcp.catalog.tool_results import EncodedResult
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.make_context import Run
from mcpd.mcp.questions.conversation import CallConversation
from mcpd.mcp.questions.input_required import InputRounds, find_required
from mcpd.mcp.request import McpRequest, Result
from mcpd.mcp.tasks.task import NO_TOOL, Called, OpenQuestion, Status, Task
from mcpd.rpc.messages import error_object

ANSWER_TIMEOUT_S = 24 * 3600.0  # the task's time to live ends it earlier

log = logging.getLogger("mcpd.tasks")


class TaskConversation(CallConversation):
    """A conversation that goes on after its request was answered."""

    def __init__(self, caller: Caller, task_run: "TaskRun") -> None:
        super().__init__(caller, msgspec.UNSET, None, task_run)
        self._task_run = task_run

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Tasks have no progress notifications; the message becomes the task's."""
        self._task_run.say(message or "")
        await trio.lowlevel.checkpoint()

    async def detach(self) -> None:
        """From here on the call is a task."""
        self._task_run.detach()
        await trio.lowlevel.checkpoint()


class TaskRun:
    """One run. Before ``detach`` it belongs to its request, afterwards to its task."""

    def __init__(
        self, request: McpRequest, provider: Provider, run: Run, *, ttl_ms: int | None
    ) -> None:
        self._request = request
        self._provider = provider
        self._run = run
        self._ttl_ms = ttl_ms
        self._scope = trio.CancelScope()
        self._settled = trio.Event()  # detached, or over before that
        self.task: Task | None = None
        self._outcome: Result | None = None
        self._error: McpdError | None = None
        self._rounds: InputRounds | None = None
        if request.caller.revision.modern:
            self._rounds = InputRounds(
                request.call, request.params, request.caller.principal, request.runtime.sealer
            )

    def detach(self) -> Task:
        """Make the task, if there is none yet; its request can be answered now."""
        if self.task is None:
            tasks = self._request.runtime.tasks
            part = None if self._request.target is None else self._request.target.part
            tool = NO_TOOL if part is None else Called(part.name, part.scopes)
            principal = self._request.caller.principal
            self.task = tasks.create(principal, self._ttl_ms, tool=tool)
            self.task.scope = self._scope
            self._settled.set()
        return self.task

    def say(self, message: str) -> None:
        """What the task does right now."""
        if self.task is not None and message:
            message.encode()  # what is no text fails here, in the tool
            self.task.message = message
            self.task.touch(self._request.runtime.tasks.clock())

    def begin(self) -> None:
        """Start the run, in a task that outlives this request."""
        self._request.runtime.in_flight.start_mcp_task(self._work)

    async def wait_settled(self) -> Result | None:
        """The result of a run that ended before it was detached; None: it is a task now.

        Raises:
            McpdError: that run failed.

        Cancellation: stops a run that is not detached.
        """
        try:
            await self._settled.wait()
        except trio.Cancelled:
            if self.task is None:
                self._scope.cancel()
            raise
        if self.task is None and self._error is not None:
            raise self._error
        return None if self.task is not None else self._outcome

    async def _work(self) -> None:
        try:
            with self._scope:
                conversation = TaskConversation(self._request.caller, self)
                state = self._request.runtime.catalog.states.get(self._provider)
                self._finish(await self._run(Context(conversation, state)))
        except BaseException as error:
            cancelled, failure = split_cancelled(error)
            if failure is not None:
                self._record_failure(failure)
            if cancelled is not None:
                raise cancelled from None
        finally:
            self._settled.set()

    def _record_failure(self, error: BaseException) -> None:
        """Questions of a run that is no task yet are its outcome; everything else is a failure."""
        required = find_required(error)
        if required is not None and self._rounds is not None and self.task is None:
            try:
                self._outcome = self._rounds.result(required)
            except McpdError as refusal:
                self._fail(refusal)
        elif isinstance(error, McpdError):
            self._fail(error)
        else:
            log.error("a task failed", exc_info=error)
            self._fail(InternalError("A fault of this server; see its log."))

    def _finish(self, result: Result) -> None:
        self._outcome = result
        if self.task is not None:
            result, encoded = self._request.complete(result)
            # 2025-11-25 counts a result with isError as a failure; the extension does not.
            failed = self._rounds is None and isinstance(result, EncodedResult) and result.is_error
            status = Status.FAILED if failed else Status.COMPLETED
            tasks = self._request.runtime.tasks
            tasks.finish(self.task, status, encoded)

    def _fail(self, error: McpdError) -> None:
        self._error = error
        if self.task is not None:
            self.task.error = error_object(error)
            self.task.message = error.message
            if not self.task.move(Status.FAILED, self._request.runtime.tasks.clock()):
                self.task.error = None

    async def ask(self, questions: Sequence[Question]) -> list[Any]:
        """See ``Asker``: before the run is detached its questions are the call's, then the task's.

        Raises:
            ToolError: the client does not answer, or cannot be asked yet.
        """
        task = self.task
        if task is None:
            if self._rounds is None:
                raise ToolError("Questions of a call that is to become a task come after detach.")
            return await self._rounds.ask(questions)
        for question in questions:
            msgspec.json.encode(question.params)  # what cannot be asked fails here, in the tool
        opened = []
        for question in questions:
            question_open = OpenQuestion(question)
            task.questions[task.new_key(question)] = question_open
            opened.append(question_open)
        tasks = self._request.runtime.tasks
        if not task.move(Status.INPUT_REQUIRED, tasks.clock()):
            task.touch(tasks.clock())
        with trio.fail_after(ANSWER_TIMEOUT_S):
            for question_open in opened:
                await question_open.answered.wait()
        for question_open in opened:
            if question_open.refusal is not None:
                raise question_open.refusal
        return [question_open.answer for question_open in opened]
