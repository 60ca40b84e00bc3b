"""Who is here now: sessions with a running request or an open event stream in this process.

They are active whatever their last request was, and when their session ends, so do they.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from mcpd.sessions.record import SessionId

MAX_STREAMS = 4  # of one session; a client that reconnects leaves dead ones behind


class ActiveSessions:
    """Holds on sessions, and the scopes to cancel when one ends."""

    def __init__(self) -> None:
        self._held: Counter[SessionId] = Counter()
        self.on_end: list[Callable[[SessionId], None]] = []
        self._streams: dict[SessionId, list[trio.CancelScope]] = {}

    @contextmanager
    def hold(self, session_id: SessionId) -> Iterator[None]:
        """The session is active inside; for a request that runs."""
        self._held[session_id] += 1
        try:
            yield
        finally:
            self._held[session_id] -= 1
            if self._held[session_id] <= 0:
                del self._held[session_id]

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
