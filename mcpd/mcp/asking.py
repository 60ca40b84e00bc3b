"""Questions to the client in the handshake era: a request on the stream of the call that asked.

The answer comes with another POST, and finds the waiting tool by session and request id.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
import trio

from mcpd.app.questions import Question
from mcpd.errors import ToolError
from mcpd.mcp.caller import Caller
from mcpd.mcp.conversation import Notify
from mcpd.rpc.messages import Reply, encode_notice
from mcpd.sessions.record import SessionId

ANSWER_TIMEOUT_S = 600.0  # a person may have to think
GOODBYE_S = 1.0  # to tell the client that a question is off
MAX_OPEN_PER_SESSION = 64


class _Slot:
    __slots__ = ("answered", "reply")

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.reply: Reply | None = None


class Questions:
    """The questions of all sessions of this process that wait for their answer."""

    def __init__(self) -> None:
        self._open: dict[SessionId, dict[bytes, _Slot]] = {}

    def answer(self, session_id: SessionId, reply: Reply) -> bool:
        """Hand an answer to whoever waits; False: nobody does, which is no error."""
        slot = self._open.get(session_id, {}).pop(reply.id, None)
        if slot is None:
            return False
        slot.reply = reply
        slot.answered.set()
        return True

    async def ask(
        self,
        caller: Caller,
        session_id: SessionId,
        notify: Notify,
        questions: Sequence[Question],
        *,
        meta: dict[str, Any] | None = None,
    ) -> list[Any]:
        """Ask all at once; the answers in the same order. ``meta`` is sent with each question.

        Raises:
            ToolError: the client refused, did not answer in time, or answered nonsense.

        Cancellation: the client is told that the questions are off.
        """
        answers: dict[int, Any] = {}

        async def one(place: int, question: Question) -> None:
            answers[place] = await self._ask_one(session_id, notify, question, caller, meta)

        try:
            async with trio.open_nursery() as nursery:
                for place, question in enumerate(questions):
                    nursery.start_soon(one, place, question)
        except BaseExceptionGroup as group:
            raise _first(group) from None
        return [answers[place] for place in range(len(questions))]

    async def _ask_one(
        self,
        session_id: SessionId,
        notify: Notify,
        question: Question,
        caller: Caller,
        meta: dict[str, Any] | None,
    ) -> Any:
        slots = self._open.setdefault(session_id, {})
        if len(slots) >= MAX_OPEN_PER_SESSION:
            raise ToolError("The client has too many questions open already.")
        request_id = f"ask-{secrets.token_hex(8)}"  # never reused
        key, slot = msgspec.json.encode(request_id), _Slot()
        slots[key] = slot
        try:
            await notify(_request(request_id, question, caller, meta))
            with trio.move_on_after(ANSWER_TIMEOUT_S):
                await slot.answered.wait()
        finally:
            slots.pop(key, None)
            if not slots and self._open.get(session_id) is slots:
                del self._open[session_id]
            if slot.reply is None:
                await _call_off(request_id, notify)
        return _read(question, slot.reply)


def _request(
    request_id: str, question: Question, caller: Caller, meta: dict[str, Any] | None
) -> bytes:
    params = question.params
    if meta is not None:
        params["_meta"] = meta
    if not caller.revision.elicitation_modes and params.pop("mode", None) is not None:
        params["requestedSchema"] = simple_form(params["requestedSchema"])
    message = {"jsonrpc": "2.0", "id": request_id, "method": question.method, "params": params}
    return msgspec.json.encode(message)


def simple_form(schema: dict[str, Any]) -> dict[str, Any]:
    """A form in the terms of 2025-06-18, which has no titled and no multiple choice.

    Raises:
        ToolError: it cannot be said there.
    """
    properties = {}
    for name, found in schema.get("properties", {}).items():
        if found.get("type") == "array":
            raise ToolError(f"The client's revision has no multiple choice, as {name} needs.")
        if "oneOf" in found:
            rest = {key: value for key, value in found.items() if key != "oneOf"}
            options = found["oneOf"]
            found = {**rest, "enum": [option["const"] for option in options],
                     "enumNames": [option.get("title", "") for option in options]}  # fmt: skip
        properties[name] = found
    return {**schema, "properties": properties}


def _read(question: Question, reply: Reply | None) -> Any:
    if reply is None:
        raise ToolError(f"The client did not answer within {ANSWER_TIMEOUT_S:g} s.")
    if reply.error is not None:
        raise ToolError("The client refused to answer.")
    result = msgspec.json.decode(reply.result or b"{}")
    return question.read(result if isinstance(result, dict) else {})


async def _call_off(request_id: str, notify: Notify) -> None:
    """MCP, "Cancellation": whoever asked may say that it no longer matters."""
    with trio.move_on_after(GOODBYE_S, shield=True):
        params = {"requestId": request_id, "reason": "no longer needed"}
        await notify(encode_notice("notifications/cancelled", params))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one failure out of the nursery's group; the others were cancelled because of it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        failures = [e for e in error.exceptions if not isinstance(e, trio.Cancelled)]
        error = failures[0] if failures else error.exceptions[0]
    return error
