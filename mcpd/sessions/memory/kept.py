"""What this process holds of each session, in one place: it is forgotten as a whole."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mcpd.sessions.record import SessionId
from mcpd.sessions.ring import Ring


@dataclass(slots=True)
class Kept:
    """What one session has."""

    streams: dict[str, Ring] = field(default_factory=dict)
    topics: frozenset[str] = frozenset()
    answers: dict[str, dict[str, bytes | None]] = field(default_factory=dict)  # by asker

    @property
    def is_empty(self) -> bool:
        """Whether it can be forgotten."""
        return not (self.streams or self.topics or self.answers)


class KeptSessions:
    """What all sessions have.

    Args:
        is_there: whether a session is not over.
    """

    def __init__(self, is_there: Callable[[SessionId], bool] = lambda session_id: True) -> None:
        self.is_there = is_there
        self._sessions: dict[SessionId, Kept] = {}

    def get(self, session_id: SessionId) -> Kept | None:
        """What a session has, if it has anything."""
        return self._sessions.get(session_id)

    def make(self, session_id: SessionId) -> Kept:
        """The same, made if it is not there."""
        return self._sessions.setdefault(session_id, Kept())

    def forget(self, session_id: SessionId) -> None:
        """The session is over."""
        self._sessions.pop(session_id, None)

    def __iter__(self) -> Iterator[tuple[SessionId, Kept]]:
        return iter(self._sessions.items())
