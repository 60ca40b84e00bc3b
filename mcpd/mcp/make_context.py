"""A Context for whoever serves a job, and questions that end in an InputRequiredResult."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from mcpd.app.app import App
from mcpd.app.context import Context
from mcpd.app.questions import Question
from mcpd.mcp.questions.conversation import Ask, CallConversation, progress_token
from mcpd.mcp.questions.input_required import Rounds, find_required
from mcpd.mcp.request import Job, Result


class _Meta(msgspec.Struct):
    progress_token: Any = msgspec.field(default=msgspec.UNSET, name="progressToken")


class _Params(msgspec.Struct):
    meta: _Meta | None = msgspec.field(default=None, name="_meta")


_params = msgspec.json.Decoder(_Params)

Run = Callable[[Context | None], Awaitable[Result]]


async def with_context(job: Job, app: App, *, wanted: bool, run: Run) -> Result:
    """Run with a Context if one is wanted. What the function asks the client becomes a request
    on its stream in the handshake era, and the result in the modern one.

    Raises:
        InvalidParams: a retry whose state or answers are not acceptable.
        Exception: whatever ``run`` raises.
    """
    if not wanted:
        return await run(None)
    if not job.caller.revision.modern:
        return await run(_context(job, app, _asker(job)))
    rounds = Rounds(job.call, job.caller.principal, job.services.sealer)

    async def ask(questions: Sequence[Question]) -> list[Any]:
        return rounds.ask(questions)

    try:
        return await run(_context(job, app, ask))
    except BaseException as error:
        required = find_required(error)
        if required is None:
            raise
        return rounds.result(required)


def _context(job: Job, app: App, ask: Ask | None) -> Context:
    meta = _params.decode(job.call.params).meta
    token = msgspec.UNSET if meta is None else progress_token(meta.progress_token)
    conversation = CallConversation(job.caller, token, job.notify, ask, job.stream)
    return Context(conversation, job.services.host.states.get(app))


def _asker(job: Job) -> Ask | None:
    session, notify = job.caller.session, job.notify
    if session is None or notify is None:
        return None

    async def ask(questions: Sequence[Question]) -> list[Any]:
        return await job.services.questions.ask(
            job.caller, session.id, notify, questions, stream=job.stream
        )

    return ask
