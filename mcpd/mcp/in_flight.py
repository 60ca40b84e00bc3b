"""Calls that run in a session, by their id, so that notifications/cancelled finds them.

In the modern era nothing is kept: closing the response cancels (2026-07-28, "Cancellation").
"""

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio

from mcpd.cancellation import split_cancelled
from mcpd.errors import McpdError
from mcpd.limits.caps import Caps
from mcpd.rpc.messages import RequestId
from mcpd.sessions.active_sessions import ActiveSessions
from mcpd.sessions.bus import Bus, Signal, SignalKind
from mcpd.sessions.record import SessionId

log = logging.getLogger("mcpd.mcp")

_Key = tuple[SessionId, RequestId]
Stop = Callable[[], None]


class InFlight(msgspec.Struct, frozen=True):
    """A call while it is served.

    Attributes:
        owner: the key of its principal.
        size: bytes of its params.
        stop: called when it is cancelled.
    """

    session_id: SessionId
    request_id: RequestId
    owner: str
    size: int
    stop: Stop


class CallsInFlight:
    """The calls of all sessions of this process.

    Args:
        caps: on how many run at once, and on the bytes of their params, by principal.
        limit_s: for a call that outlives its connection.
        left_limit_s: for one that no client reads, from the moment at which it left.
    """

    def __init__(
        self,
        active: ActiveSessions,
        bus: Bus,
        *,
        caps: Caps | None = None,
        limit_s: float = math.inf,
        left_limit_s: float = math.inf,
    ) -> None:
        self._active = active
        self._bus = bus
        self._caps = Caps() if caps is None else caps
        self.limit_s = limit_s
        self.left_limit_s = left_limit_s
        self._nursery: trio.Nursery | None = None
        self._stops: dict[_Key, Stop] = {}
        self._calls = 0  # that ``start`` started and that are to end before the process does
        self._idle = trio.Event()
        bus.listen(SignalKind.CANCELLED, self._cancelled_elsewhere)

    async def run(self, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        """Own the calls that outlive their connections, for ever; cancelling ends them."""
        async with trio.open_nursery() as self._nursery:
            task_status.started(self._nursery.cancel_scope)
            await trio.sleep_forever()

    def start(self, job: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a call apart from its connection; what it raises is logged. A process that stops
        waits for it.
        """
        self._calls += 1
        self._spawn(self._run_call, job, *args)

    def start_mcp_task(self, job: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Like ``start``, for what has a time to live of its own and is not waited for."""
        self._spawn(_contain, job, *args)

    def _spawn(self, job: Callable[..., Awaitable[None]], *args: Any) -> None:
        if self._nursery is None:
            raise RuntimeError("CallsInFlight.run owns the calls and does not run")
        self._nursery.start_soon(job, *args)

    async def _run_call(self, job: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await _contain(job, *args)
        finally:
            self._calls -= 1
            self._idle.set()

    async def wait_idle(self) -> None:
        """Wait until no started call runs.

        Cancellation: at any time.
        """
        while self._calls:
            self._idle = trio.Event()
            await self._idle.wait()

    def end_session(self, session_id: SessionId) -> None:
        """The session is over, and so are its calls."""
        for key, stop in list(self._stops.items()):
            if key[0] == session_id:
                stop()

    def begin(self, call: "InFlight") -> None:
        """A call is served from here on.

        Raises:
            TooManyRequests, Unavailable: its principal, or all together, have too many.
        """
        caps = self._caps
        caps.calls.take(call.owner)
        try:
            caps.arguments.take(call.owner, call.size)
        except McpdError:
            caps.calls.give_back(call.owner)
            raise
        self._active.enter(call.session_id)
        self._stops[call.session_id, call.request_id] = call.stop

    def end(self, call: "InFlight") -> None:
        """It is served no more. Another of the same id may have begun meanwhile."""
        key = (call.session_id, call.request_id)
        if self._stops.get(key) is call.stop:
            del self._stops[key]
        self._active.leave(call.session_id)
        self._caps.calls.give_back(call.owner)
        self._caps.arguments.give_back(call.owner, call.size)

    def cancel(self, session_id: SessionId, request_id: RequestId) -> bool:
        """Cancel a call, wherever it runs; False: not here, which is no error (MCP,
        "Cancellation").
        """
        is_here = self._cancel(session_id, request_id)
        if not is_here and self._bus.shared:
            self._bus.publish(Signal(SignalKind.CANCELLED, session_id, request_id.decode("utf-8")))
        return is_here

    def _cancel(self, session_id: SessionId, request_id: RequestId) -> bool:
        stop = self._stops.get((session_id, request_id))
        if stop is None:
            return False
        stop()
        return True

    def _cancelled_elsewhere(self, signal: Signal) -> None:
        self._cancel(SessionId(signal.session_id), RequestId(signal.name.encode("utf-8")))


async def _contain(job: Callable[..., Awaitable[None]], *args: Any) -> None:
    try:
        await job(*args)
    except BaseException as error:
        cancelled, failure = split_cancelled(error)
        if failure is not None:
            log.error("call failed", exc_info=failure)
        if cancelled is not None:
            raise cancelled from None
