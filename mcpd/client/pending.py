"""Requests that wait for their answers: each gets one, and the last one ends the wait."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import trio

from mcpd.client.messages import Outgoing, ServerMessage, id_key, number_in, with_id
from mcpd.client.responses import LINGER_S
from mcpd.errors import McpdError
from mcpd.rpc.messages import Call, encode_error

CANCEL_S = 5.0  # for the server to end a request that was cancelled
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"

Emit = Callable[[bytes], Awaitable[None]]


class Pending:
    """The requests of one message.

    Args:
        emit: gives one message to the caller.

    Attributes:
        waiting: ids that have no answer yet: their one form → as they were written.
        done: set when nothing is waited for any more.
        scope: around the work for them; its deadline moves when they are done.
        cancelled: the caller waits for none of them.
        received: how many messages came.
    """

    def __init__(self, outgoing: Outgoing, emit: Emit) -> None:
        self.waiting = {id_key(call.id): call.id for call in outgoing.calls}
        self.done = trio.Event()
        self.scope = trio.CancelScope()
        self.cancelled = False
        self.received = 0
        self._calls = outgoing.calls
        self.emit = emit
        self._acknowledged = False

    def call_of(self, key: bytes) -> Call | None:
        """The request behind an id."""
        return next((call for call in self._calls if id_key(call.id) == key), None)

    def as_asked(self, message: ServerMessage) -> ServerMessage:
        """An answer with the id as it was asked, a number, where the server spelt it as a text."""
        number = number_in(message.key or b"")
        if message.key in self.waiting or number is None or number not in self.waiting:
            return message
        return replace(message, key=number, line=with_id(message.line, self.waiting[number]))

    async def settle(self, key: bytes, answer: bytes) -> None:
        """One of the requests has its answer, which goes to the caller; a second one is dropped.
        The last one ends the wait, however it came.
        """
        if self.waiting.pop(key, None) is None:
            return
        self.received += 1
        await self.emit(answer)
        if not self.waiting:
            self.done.set()
            self.scope.deadline = trio.current_time() + LINGER_S

    async def fail(self, error: McpdError) -> None:
        """No answer will come: each request that waits is answered with an error."""
        for key, request_id in list(self.waiting.items()):
            await self.settle(key, encode_error(request_id, error))

    def is_news(self, message: ServerMessage) -> bool:
        """Whether a notification or request on their stream is for the caller: of a stream that
        was begun again, the acknowledgement is not.
        """
        self.received += 1
        repeated = message.method == ACKNOWLEDGED and self._acknowledged
        self._acknowledged = self._acknowledged or message.method == ACKNOWLEDGED
        return not repeated

    def cancel(self, key: bytes, *, at_once: bool) -> None:
        """The caller waits no more for one of the requests; when it was the last, for none.

        Args:
            at_once: closing the connection tells the server (2026-07-28, "Cancellation"); before,
                a notification did, and it may still answer within CANCEL_S.
        """
        self.waiting.pop(key, None)
        if self.waiting:
            return
        self.cancelled = True
        self.done.set()
        if at_once:
            self.scope.cancel()
        else:
            self.scope.deadline = trio.current_time() + CANCEL_S

    def end(self) -> None:
        """Nothing is waited for any more."""
        self.waiting.clear()
        self.done.set()
