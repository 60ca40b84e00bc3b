"""Calls that run in a session, by their id, so that notifications/cancelled finds them.

In the modern era nothing is kept: closing the response cancels (2026-07-28, "Cancellation").
"""

import logging
import math
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import trio

from mcpd.mcp.rounds import InputRequired
from mcpd.rpc.messages import RequestId
from mcpd.sessions.presence import Presence
from mcpd.sessions.record import SessionId

log = logging.getLogger("mcpd.mcp")

_Key = tuple[SessionId, RequestId]


class Running:
    """The calls of all sessions of this process."""

    def __init__(self, presence: Presence, *, limit_s: float = math.inf) -> None:
        self._presence = presence
        self._limit_s = limit_s  # for a call that outlives its connection
        self._nursery: trio.Nursery | None = None
        self._scopes: dict[_Key, trio.CancelScope] = {}

    async def run(self, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        """Own the calls that outlive their connections, for ever; cancelling ends them."""
        async with trio.open_nursery() as self._nursery:
            task_status.started(self._nursery.cancel_scope)
            await trio.sleep_forever()

    def start(self, job: Callable[..., Awaitable[None]], *args: Any, limited: bool = True) -> None:
        """Run a call apart from its connection; what it raises is logged.

        Args:
            limited: end it after the limit; tasks have a time to live of their own.
        """
        if self._nursery is None:
            raise RuntimeError("Running.run owns the calls and does not run")
        limit_s = self._limit_s if limited else math.inf
        self._nursery.start_soon(_contain, limit_s, job, *args)

    def end_session(self, session_id: SessionId) -> None:
        """The session is over, and so are its calls."""
        for key, scope in list(self._scopes.items()):
            if key[0] == session_id:
                scope.cancel()

    def track(self, session_id: SessionId, request_id: RequestId) -> "_Tracked":
        """A context manager for one call; its ``cancelled`` tells whether it was cancelled."""
        return _Tracked(self._scopes, (session_id, request_id), self._presence)

    def cancel(self, session_id: SessionId, request_id: RequestId) -> bool:
        """Cancel a call; False: it is not running, which is no error (MCP, "Cancellation")."""
        scope = self._scopes.get((session_id, request_id))
        if scope is None:
            return False
        scope.cancel()
        return True


async def _contain(limit_s: float, job: Callable[..., Awaitable[None]], *args: Any) -> None:
    try:
        with trio.move_on_after(limit_s):
            await job(*args)
    except* (Exception, SystemExit, InputRequired):
        log.exception("call failed")


class _Tracked:
    """Written as a class because a generator would cost more than the bookkeeping."""

    __slots__ = ("_hold", "_key", "_scope", "_scopes")

    def __init__(self, scopes: dict[_Key, trio.CancelScope], key: _Key, presence: Presence) -> None:
        self._scopes = scopes
        self._key = key
        self._scope = trio.CancelScope()
        self._hold = presence.hold(key[0])

    @property
    def cancelled(self) -> bool:
        return self._scope.cancelled_caught

    def __enter__(self) -> "_Tracked":
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
        return bool(self._scope.__exit__(kind, error, traceback))
