"""Streams in this process: for development."""

import time
from collections.abc import Callable, Sequence

from mcpd.errors import SessionNotFound
from mcpd.sessions.memory.kept import KeptSessions
from mcpd.sessions.record import SessionId
from mcpd.sessions.ring import Ring
from mcpd.sessions.stream_ids import next_own_number
from mcpd.sessions.streams import (
    FINISHED_SLACK,
    KEEP_FINISHED_S,
    MAX_FINISHED,
    MAX_FINISHED_BYTES,
    SESSION_STREAM,
    SMALL_BYTES,
    KeptCall,
    Page,
)


class MemoryEvents:
    """See EventLog. This process is the only one, so it owns every stream that it knows."""

    def __init__(self, kept: KeptSessions, clock: Callable[[], float] = time.time) -> None:
        self._kept = kept
        self._clock = clock

    async def begin(
        self,
        call: KeptCall,
        messages: Sequence[bytes] = (),
        *,
        last: bool = False,
        unread: bool = False,
    ) -> None:
        if not self._kept.is_there(call.session_id):
            raise SessionNotFound("The session ended.")
        self._kept.make(call.session_id).streams.setdefault(call.stream_id, Ring())
        await self.append(call.session_id, call.stream_id, 1, messages, last=last, unread=unread)

    async def append(
        self,
        session_id: SessionId,
        stream_id: str,
        number: int,
        messages: Sequence[bytes],
        *,
        last: bool,
        unread: bool = False,
    ) -> bool:
        ring = self._ring(session_id, stream_id)
        if ring is None:
            return False
        for place, message in enumerate(messages, number):
            ring.append(place, message)
        if last and ring.finished_at is None:
            self._make_room(self._kept.make(session_id).streams, ring.size)
            ring.finished_at, ring.unread = self._clock(), unread
        return True

    async def mark_unread(self, session_id: SessionId, stream_id: str) -> None:
        ring = self._ring(session_id, stream_id)
        if ring is not None:
            ring.unread = True

    async def read(self, session_id: SessionId, stream_id: str, after: int) -> Page | None:
        ring = self._ring(session_id, stream_id)
        if ring is None:
            return Page([], finished=False) if stream_id == SESSION_STREAM else None
        return ring.behind(after)

    async def newest(self, session_id: SessionId) -> int:
        ring = self._ring(session_id, SESSION_STREAM)
        return 0 if ring is None else ring.last

    async def put(
        self, session_id: SessionId, data: bytes, *, drop_oldest: bool = True
    ) -> int | None:
        if not self._kept.is_there(session_id):
            return 0
        ring = self._kept.make(session_id).streams.setdefault(SESSION_STREAM, Ring())
        if ring.is_full and not drop_oldest:
            return None
        number = next_own_number(ring.last, self._clock())
        ring.append(number, data)
        return number

    async def has_room(self, session_id: SessionId) -> bool:
        ring = self._ring(session_id, SESSION_STREAM)
        return ring is None or not ring.is_full

    async def drop_through(self, session_id: SessionId, through: int) -> None:
        ring = self._ring(session_id, SESSION_STREAM)
        if ring is not None:
            ring.drop_through(through)

    async def sweep(self, now: float) -> None:
        for _, kept in self._kept:
            self._drop_finished(kept.streams, now - KEEP_FINISHED_S)

    def forget(self, session_id: SessionId) -> None:
        self._kept.forget(session_id)

    # --- helpers ------------------------------------------------------------------------------

    def _ring(self, session_id: SessionId, stream_id: str) -> Ring | None:
        kept = self._kept.get(session_id)
        return None if kept is None else kept.streams.get(stream_id)

    def _make_room(self, streams: dict[str, Ring], size: int) -> None:
        """For one more finished stream of so many bytes, looked at once in a while."""
        if len(streams) < MAX_FINISHED + FINISHED_SLACK and not _large(size):
            return
        self._drop_finished(streams, self._clock() - KEEP_FINISHED_S)
        finished = [key for key, ring in streams.items() if ring.finished_at is not None]
        finished.sort(key=lambda key: (streams[key].unread, streams[key].finished_at))
        surplus = max(0, len(finished) + 1 - MAX_FINISHED)
        for key in finished[:surplus]:
            del streams[key]
        large = [key for key in finished[surplus:] if _large(streams[key].size)]
        taken = _large(size) + sum(streams[key].size for key in large)
        while large and taken > MAX_FINISHED_BYTES:  # small ones make no room
            taken -= streams.pop(large.pop(0)).size

    def _drop_finished(self, streams: dict[str, Ring], before: float) -> None:
        for stream_id, ring in list(streams.items()):
            if ring.finished_at is not None and ring.finished_at < before:
                del streams[stream_id]


def _large(size: int) -> int:
    """What a stream of this size counts towards MAX_FINISHED_BYTES."""
    return size if size > SMALL_BYTES else 0
