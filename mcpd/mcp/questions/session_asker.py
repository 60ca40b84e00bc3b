"""How a question reaches the client of a session, in the words of its revision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import trio

from mcpd.app.questions import Question
from mcpd.errors import ToolError
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.failures import first_failure
from mcpd.mcp.questions.conversation import Outlet
from mcpd.mcp.questions.server_requests import ServerRequest, ServerRequests
from mcpd.mcp.streams.writer import CallWriter
from mcpd.sessions.record import SessionId
from mcpd.sessions.stream_ids import new_asker, question_id


@dataclass(frozen=True, slots=True)
class SessionAsker:
    """An ``Asker`` of the handshake era.

    Args:
        outlet: the questions go there.
        writer: of the call that asks, if it is run again from its start after a failure: what an
            earlier run of it asked is not asked again. None: each question is a new one.
        meta: sent with each question.
    """

    requests: ServerRequests
    caller: Caller
    session_id: SessionId
    outlet: Outlet
    writer: CallWriter | None = None
    meta: dict[str, Any] | None = None

    async def ask(self, questions: Sequence[Question]) -> list[Any]:
        """Ask all at once; the answers in the same order.

        Raises:
            ToolError: the client refused, did not answer in time, or answered nonsense.
            StoreError: the inbox stayed away.

        Cancellation: the client is told that the questions are off.
        """
        answers: dict[int, Any] = {}
        writer, asker = self.writer, new_asker()

        async def one(place: int, question: Question, asked: ServerRequest) -> None:
            result = await self.requests.request(self.session_id, self.outlet, asked)
            answers[place] = question.read(result)

        try:
            async with trio.open_nursery() as nursery:
                for place, question in enumerate(questions):
                    content = _in_words(question, self.caller, self.meta)
                    asked = _request(content, writer, asker, place)
                    nursery.start_soon(one, place, question, asked)
        except BaseExceptionGroup as group:
            raise first_failure(group) from None
        finally:
            if writer is None:  # else it goes with its call
                await self.requests.forget(self.session_id, asker)
        return [answers[place] for place in range(len(questions))]


def _request(
    content: dict[str, Any], writer: CallWriter | None, asker: str, place: int
) -> ServerRequest:
    encoded = msgspec.json.encode(content)
    if writer is None:
        request_id = question_id(asker, encoded, place)
    else:
        request_id, asker = writer.history.question_id(encoded), writer.key.stream_id
    message = msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, **content})
    asked_before = writer is not None and request_id in writer.history.asked
    return ServerRequest(request_id, asker, message, asked_before)


def _in_words(question: Question, caller: Caller, meta: dict[str, Any] | None) -> dict[str, Any]:
    """The request without its id.

    Raises:
        ToolError: the client's revision has no words for it.
    """
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
    for name, member in schema.get("properties", {}).items():
        if member.get("type") == "array":
            raise ToolError(f"The client's revision has no multiple choice, as {name} needs.")
        if "oneOf" in member:
            rest = {key: value for key, value in member.items() if key != "oneOf"}
            options = member["oneOf"]
            member = {**rest, "enum": [option["const"] for option in options],
                     "enumNames": [option.get("title", "") for option in options]}  # fmt: skip
        properties[name] = member
    return {**schema, "properties": properties}
