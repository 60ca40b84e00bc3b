"""Who is here now: sessions with a running request or an open event stream in this process.

They are active whatever their last request was, and when their session ends, so do they.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from mcpd.sessions.record import SessionId

MAX_STREAMS = 4  # of one session; a client that reconnects leaves dead ones behind


class ActiveSessions:
    """Holds on sessions, and the scopes to cancel when one ends."""

    def __init__(self) -> None:
        self._held: dict[SessionId, int] = {}
        self.on_end: list[Callable[[SessionId], None]] = []
        self._streams: dict[SessionId, list[trio.CancelScope]] = {}

    def enter(self, session_id: SessionId) -> None:
        """The session is active from here on, until ``leave``; for a request that runs."""
        self._held[session_id] = self._held.get(session_id, 0) + 1

    def leave(self, session_id: SessionId) -> None:
        """One ``enter`` is over."""
        left = self._held[session_id] - 1
        if left:
            self._held[session_id] = left
        else:
            del self._held[session_id]

    @contextmanager
    def hold(self, session_id: SessionId) -> Iterator[None]:
        """The session is active inside."""
        self.enter(session_id)
        try:
            yield
        finally:
            self.leave(session_id)

    @contextmanager
    def stream(self, session_id: SessionId) -> Iterator[trio.CancelScope]:
        """The session is active inside, and its end leaves this block; so does the opening of
        more than MAX_STREAMS, for the oldest.
        """
        with self.hold(session_id), trio.CancelScope() as scope:
            scopes = self._streams.setdefault(session_id, [])
            scopes.append(scope)
            if len(scopes) > MAX_STREAMS:
                scopes[0].cancel()
            try:
                yield scope
            finally:
                scopes.remove(scope)
                if not scopes:
                    self._streams.pop(session_id, None)

    def active(self) -> list[SessionId]:
        """Every session that is held."""
        return list(self._held)

    def ended(self, session_id: SessionId) -> None:
        """The session is over: so are its streams, and what others keep of it."""
        for listener in self.on_end:
            listener(session_id)
        for scope in list(self._streams.get(session_id, ())):
            scope.cancel()
