"""Calls that run in a session, by their id, so that notifications/cancelled finds them.

In the modern era nothing is kept: closing the response cancels (2026-07-28, "Cancellation").
"""

from types import TracebackType

import trio

from mcpd.rpc.messages import RequestId
from mcpd.sessions.presence import Presence
from mcpd.sessions.record import SessionId

_Key = tuple[SessionId, RequestId]


class Running:
    """The calls of all sessions of this process."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._scopes: dict[_Key, trio.CancelScope] = {}

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
