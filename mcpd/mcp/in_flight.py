"""Calls that run in a session, by their id, so that notifications/cancelled finds them.

In the modern era nothing is kept: closing the response cancels (2026-07-28, "Cancellation").
"""

import logging
import math
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import trio

from mcpd.errors import McpdError
from mcpd.limits.caps import Caps
from mcpd.mcp.questions.input_required import InputRequired
from mcpd.rpc.messages import RequestId
from mcpd.sessions.active_sessions import ActiveSessions
from mcpd.sessions.bus import Bus, Signal, SignalKind
from mcpd.sessions.record import SessionId

log = logging.getLogger("mcpd.mcp")

_Key = tuple[SessionId, RequestId]


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
        self._scopes: dict[_Key, trio.CancelScope] = {}
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
        for key, scope in list(self._scopes.items()):
            if key[0] == session_id:
                scope.cancel()

    def track(
        self, session_id: SessionId, request_id: RequestId, owner: str, size: int
    ) -> "_Tracked":
        """A context manager for one call; its ``cancelled`` tells whether it was cancelled.

        Args:
            owner: the key of its principal.
            size: bytes of its params.

        Raises (where it is entered):
            TooManyRequests, Unavailable: the principal, or all together, have too many.
        """
        key = (session_id, request_id)
        return _Tracked(self._scopes, key, self._active, self._caps, owner, size)

    def cancel(self, session_id: SessionId, request_id: RequestId) -> bool:
        """Cancel a call, wherever it runs; False: not here, which is no error (MCP,
        "Cancellation").
        """
        is_here = self._cancel(session_id, request_id)
        if not is_here and self._bus.shared:
            self._bus.publish(Signal(SignalKind.CANCELLED, session_id, request_id.decode("utf-8")))
        return is_here

    def _cancel(self, session_id: SessionId, request_id: RequestId) -> bool:
        scope = self._scopes.get((session_id, request_id))
        if scope is None:
            return False
        scope.cancel()
        return True

    def _cancelled_elsewhere(self, signal: Signal) -> None:
        self._cancel(SessionId(signal.session_id), RequestId(signal.name.encode("utf-8")))


async def _contain(job: Callable[..., Awaitable[None]], *args: Any) -> None:
    try:
        await job(*args)
    except* (Exception, SystemExit, InputRequired):
        log.exception("call failed")


class _Tracked:
    """Written as a class because a generator would cost more than the bookkeeping."""

    __slots__ = ("_caps", "_hold", "_key", "_owner", "_scope", "_scopes", "_size")

    def __init__(
        self,
        scopes: dict[_Key, trio.CancelScope],
        key: _Key,
        active: ActiveSessions,
        caps: Caps,
        owner: str,
        size: int,
    ) -> None:
        self._scopes = scopes
        self._caps = caps
        self._owner = owner
        self._size = size
        self._key = key
        self._scope = trio.CancelScope()
        self._hold = active.hold(key[0])

    @property
    def cancelled(self) -> bool:
        return self._scope.cancelled_caught

    def __enter__(self) -> "_Tracked":
        self._caps.calls.take(self._owner)
        try:
            self._caps.arguments.take(self._owner, self._size)
        except McpdError:
            self._caps.calls.give_back(self._owner)
            raise
        self._hold.__enter__()
        self._scopes[self._key] = self._scope
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if self._scopes.get(self._key) is self._scope:
            del self._scopes[self._key]
        self._hold.__exit__(None, None, None)
        self._caps.calls.give_back(self._owner)
        self._caps.arguments.give_back(self._owner, self._size)
        return bool(self._scope.__exit__(kind, error, traceback))
