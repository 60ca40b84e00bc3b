"""Questions to the client in the handshake era: a request on the stream of the call that asked.

The answer comes with another POST, perhaps to another process, and finds the waiting tool by
session and request id.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import trio

from mcpd.app.questions import Question
from mcpd.errors import StoreError, ToolError
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.failures import first_failure
from mcpd.mcp.questions.conversation import Notify
from mcpd.mcp.streams.writer import CallStream, patiently
from mcpd.rpc.messages import Reply, encode_notice
from mcpd.sessions.bus import Bus, Kind, Signal
from mcpd.sessions.log import StreamLog, new_asker, question_id
from mcpd.sessions.record import SessionId

log = logging.getLogger("mcpd.mcp")

ANSWER_TIMEOUT_S = 600.0  # a person may have to think
GOODBYE_S = 1.0  # to tell the client that a question is off
MAX_OPEN_PER_SESSION = 64


class _Kept(msgspec.Struct):
    """An answer as the log has it."""

    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_kept = msgspec.json.Decoder(_Kept)
_request_id = msgspec.json.Decoder(str)


class Questions:
    """Questions that wait for their answer. The log has the answers, since one may be posted to
    any process; here is who waits in this one.
    """

    def __init__(self, log: StreamLog, bus: Bus) -> None:
        self._log = log
        self._waiting: dict[SessionId, dict[str, trio.Event]] = {}
        bus.listen(Kind.ANSWERED, self._answered_elsewhere)
        bus.on_resync.append(self._wake_all)

    async def answer(self, session_id: SessionId, reply: Reply) -> bool:
        """Hand an answer to whoever waits; False: nobody does, which is no error.

        Raises:
            StoreError: it was not kept; the client may send it again.
        """
        try:
            request_id = _request_id.decode(reply.id)
        except msgspec.ValidationError:
            return False  # ours are strings
        kept = msgspec.json.encode(
            _Kept(reply.result or msgspec.UNSET, reply.error or msgspec.UNSET)
        )
        if not await self._log.answer(session_id, request_id, kept):
            return False
        self._wake(session_id, request_id)  # the log tells the other processes
        return True

    def _wake(self, session_id: str, request_id: str) -> None:
        event = self._waiting.get(SessionId(session_id), {}).get(request_id)
        if event is not None:
            event.set()

    def _answered_elsewhere(self, signal: Signal) -> None:
        self._wake(signal.session_id, signal.name)

    def _wake_all(self) -> None:
        for waiting in self._waiting.values():
            for event in waiting.values():
                event.set()

    async def ask(
        self,
        caller: Caller,
        session_id: SessionId,
        notify: Notify,
        questions: Sequence[Question],
        *,
        meta: dict[str, Any] | None = None,
        stream: CallStream | None = None,
    ) -> list[Any]:
        """Ask all at once; the answers in the same order. ``meta`` is sent with each question.

        Args:
            stream: of the call that asks: what an earlier run of it asked is not asked again.

        Raises:
            ToolError: the client refused, did not answer in time, or answered nonsense.
            StoreError: the log of answers stayed away.

        Cancellation: the client is told that the questions are off.
        """
        answers: dict[int, Any] = {}
        asker = new_asker()

        async def one(place: int, question: Question, asked: _Asked) -> None:
            answers[place] = question.read(await self._ask_one(session_id, notify, asked))

        try:
            async with trio.open_nursery() as nursery:
                for place, question in enumerate(questions):
                    asked = _word(question, caller, meta, stream, asker, place)
                    nursery.start_soon(one, place, question, asked)
        except BaseExceptionGroup as group:
            raise first_failure(group) from None
        finally:
            if stream is None:  # else it goes with its call
                await self._forget(session_id, asker)
        return [answers[place] for place in range(len(questions))]

    async def _ask_one(
        self, session_id: SessionId, notify: Notify, asked: "_Asked"
    ) -> dict[str, Any]:
        waiting = self._waiting.setdefault(session_id, {})
        if len(waiting) >= MAX_OPEN_PER_SESSION:
            raise ToolError("The client has too many questions open already.")
        answered = waiting[asked.id] = trio.Event()
        reply: bytes | None = None
        try:
            await patiently(lambda: self._log.ask(session_id, asked.asker, asked.id))
            if asked.before:
                reply = await self._look(session_id, asked.id)
            else:
                await notify(asked.message)
            with trio.move_on_after(ANSWER_TIMEOUT_S):
                while reply is None:
                    await answered.wait()
                    answered = waiting[asked.id] = trio.Event()
                    reply = await self._look(session_id, asked.id)
        finally:
            waiting.pop(asked.id, None)
            if not waiting and self._waiting.get(session_id) is waiting:
                del self._waiting[session_id]
            if reply is None:
                await _call_off(asked.id, notify)
        return _read(reply)

    async def _look(self, session_id: SessionId, request_id: str) -> bytes | None:
        found = await patiently(lambda: self._log.answer_to(session_id, request_id))
        return None if found is None else bytes(found)

    async def _forget(self, session_id: SessionId, asker: str) -> None:
        with trio.move_on_after(GOODBYE_S, shield=True):
            try:
                await self._log.forget_questions(session_id, asker)
            except StoreError as error:
                log.info("answers are kept until their session ends: %s", error.message)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question in the client's words."""

    id: str
    asker: str
    message: bytes
    before: bool  # an earlier run of the call asked it


def _word(
    question: Question,
    caller: Caller,
    meta: dict[str, Any] | None,
    stream: CallStream | None,
    asker: str,
    place: int,
) -> _Asked:
    """Put a question into words.

    Raises:
        ToolError: the client's revision has none for it.
    """
    body = _request(question, caller, meta)
    content = msgspec.json.encode(body)
    if stream is None:
        request_id = question_id(asker, content, place)
    else:
        request_id, asker = stream.question_id(content), stream.id
    message = msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, **body})
    return _Asked(request_id, asker, message, stream is not None and request_id in stream.asked)


def _request(question: Question, caller: Caller, meta: dict[str, Any] | None) -> dict[str, Any]:
    params = question.params
    if meta is not None:
        params["_meta"] = meta
    if not caller.revision.elicitation_modes and params.pop("mode", None) is not None:
        params["requestedSchema"] = simple_form(params["requestedSchema"])
    return {"method": question.method, "params": params}


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


def _read(reply: bytes | None) -> dict[str, Any]:
    if reply is None:
        raise ToolError(f"The client did not answer within {ANSWER_TIMEOUT_S:g} s.")
    kept = _kept.decode(reply)
    if isinstance(kept.result, msgspec.UnsetType):
        raise ToolError("The client refused to answer.")
    result = msgspec.json.decode(kept.result)
    return result if isinstance(result, dict) else {}


async def _call_off(request_id: str, notify: Notify) -> None:
    """MCP, "Cancellation": whoever asked may say that it no longer matters."""
    with trio.move_on_after(GOODBYE_S, shield=True):
        params = {"requestId": request_id, "reason": "no longer needed"}
        await notify(encode_notice("notifications/cancelled", params))
