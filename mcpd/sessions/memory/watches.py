"""Which sessions are told of which changes, in this process."""

from mcpd.sessions.memory.events import MemoryEvents
from mcpd.sessions.memory.kept import KeptSessions
from mcpd.sessions.record import SessionId


class MemoryWatches:
    """See ChangeWatches."""

    def __init__(self, kept: KeptSessions, events: MemoryEvents) -> None:
        self._kept = kept
        self._events = events

    async def watch(self, session_id: SessionId, topics: frozenset[str]) -> None:
        if self._kept.is_there(session_id):
            self._kept.make(session_id).topics = topics

    async def announce(self, topic: str, data: bytes) -> list[SessionId]:
        reached = [session_id for session_id, kept in self._kept if topic in kept.topics]
        for session_id in reached:
            await self._events.put(session_id, data)
        return reached
