"""Requests to clients of the handshake era, on the stream of the call that asks.

The answer comes with another POST, perhaps to another process, and finds the waiting call by
session and request id.
"""

import logging
from dataclasses import dataclass
from typing import Any

import msgspec
import trio

from mcpd.app.questions import BadAnswer
from mcpd.errors import StoreError, ToolError
from mcpd.mcp.questions.conversation import Outlet, bounded
from mcpd.rpc.messages import RpcResponse, encode_notification
from mcpd.sessions.bus import Bus, Signal, SignalKind
from mcpd.sessions.record import SessionId
from mcpd.sessions.retry import retry_while_away
from mcpd.sessions.streams import AnswerInbox

log = logging.getLogger("mcpd.mcp")

ANSWER_TIMEOUT_S = 600.0  # a person may have to think
GOODBYE_S = 1.0  # to tell the client that a question is off
MAX_OPEN_PER_SESSION = 64


class _Kept(msgspec.Struct):
    """An answer as the inbox has it."""

    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_kept = msgspec.json.Decoder(_Kept)
_request_id = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A request to the client.

    Attributes:
        asker: what its answer is kept for: the stream of a call, or a name of its own.
        asked_before: by an earlier run of the call.
    """

    id: str
    asker: str
    message: bytes
    asked_before: bool


class ServerRequests:
    """Requests of the server to clients, while they wait for their answer. The inbox has the
    answers, since one may be posted to any process; here is what waits in this one.
    """

    def __init__(self, inbox: AnswerInbox, bus: Bus) -> None:
        self._inbox = inbox
        self._waiting: dict[SessionId, dict[str, trio.Event]] = {}
        bus.listen(SignalKind.ANSWERED, self._answered_elsewhere)
        bus.on_resync.append(self._wake_all)

    async def deliver(self, session_id: SessionId, reply: RpcResponse) -> bool:
        """Hand an answer to the question that waits; False: none does, which is no error.

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
        if not await self._inbox.deliver(session_id, request_id, kept):
            return False
        self._wake(session_id, request_id)  # the inbox tells the other processes
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

    async def request(
        self, session_id: SessionId, outlet: Outlet, asked: ServerRequest
    ) -> dict[str, Any]:
        """Send a request to a client and wait for its result.

        Raises:
            ToolError: the client refused, did not answer in time, or has too much open.
            StoreError: the inbox stayed away.

        Cancellation: the client is told that the request is off.
        """
        waiting = self._waiting.setdefault(session_id, {})
        if len(waiting) >= MAX_OPEN_PER_SESSION:
            raise ToolError("The client has too many questions open already.")
        answered = waiting[asked.id] = trio.Event()
        reply: bytes | None = None
        try:
            await retry_while_away(lambda: self._inbox.expect(session_id, asked.asker, asked.id))
            if asked.asked_before:
                reply = await self._look(session_id, asked.id)
            else:
                await outlet.send(bounded(asked.message))
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
                await _call_off(asked.id, outlet)
        return _read(reply)

    async def _look(self, session_id: SessionId, request_id: str) -> bytes | None:
        found = await retry_while_away(lambda: self._inbox.find(session_id, request_id))
        return None if found is None else bytes(found)

    async def forget(self, session_id: SessionId, asker: str) -> None:
        """What this asker asked is not waited for any more."""
        with trio.move_on_after(GOODBYE_S, shield=True):
            try:
                await self._inbox.forget(session_id, asker)
            except StoreError as error:
                log.info("answers are kept until their session ends: %s", error.message)


def _read(reply: bytes | None) -> dict[str, Any]:
    if reply is None:
        raise ToolError(f"The client did not answer within {ANSWER_TIMEOUT_S:g} s.")
    kept = _kept.decode(reply)
    if isinstance(kept.result, msgspec.UnsetType):
        raise ToolError("The client refused to answer.")
    try:
        result = msgspec.json.decode(kept.result)
    except msgspec.DecodeError as error:  # JSON, but a number that nothing holds
        raise BadAnswer(f"The client's answer cannot be read: {error}.") from error
    return result if isinstance(result, dict) else {}


async def _call_off(request_id: str, outlet: Outlet) -> None:
    """MCP, "Cancellation": the side that asked may say that it no longer matters."""
    with trio.move_on_after(GOODBYE_S, shield=True):
        params = {"requestId": request_id, "reason": "no longer needed"}
        await outlet.post(encode_notification("notifications/cancelled", params))
