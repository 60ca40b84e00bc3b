"""Streams and answers in this process: for development."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mcpd.errors import SessionNotFound
from mcpd.sessions.log import (
    KEEP_FINISHED_S,
    MAX_FINISHED,
    MAX_FINISHED_BYTES,
    SESSION_STREAM,
    SMALL_BYTES,
    KeptCall,
    Page,
    next_own_number,
)
from mcpd.sessions.record import SessionId
from mcpd.sessions.ring import Ring


@dataclass(slots=True)
class _Kept:
    """What one session has."""

    streams: dict[str, Ring] = field(default_factory=dict)
    topics: frozenset[str] = frozenset()
    answers: dict[str, dict[str, bytes | None]] = field(default_factory=dict)  # by asker

    @property
    def is_empty(self) -> bool:
        return not (self.streams or self.topics or self.answers)


class MemoryLog:
    """See StreamLog. This process is the only one, so it owns every stream that it knows.

    Args:
        is_there: whether a session is not over.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        is_there: Callable[[SessionId], bool] = lambda session_id: True,
    ) -> None:
        self._clock = clock
        self._is_there = is_there
        self._sessions: dict[SessionId, _Kept] = {}

    async def begin(self, call: KeptCall) -> None:
        if not self._is_there(call.session_id):
            raise SessionNotFound("The session ended.")
        self._kept(call.session_id).streams[call.stream_id] = Ring()

    async def append(
        self,
        session_id: SessionId,
        stream_id: str,
        number: int,
        data: bytes | None,
        *,
        last: bool,
        unread: bool = False,
    ) -> bool:
        ring = self._ring(session_id, stream_id)
        if ring is None:
            return False
        if data is not None:
            ring.append(number, data)
        if last and ring.finished_at is None:
            self._make_room(self._kept(session_id).streams, ring.size)
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

    async def last(self, session_id: SessionId) -> int:
        ring = self._ring(session_id, SESSION_STREAM)
        return 0 if ring is None else ring.last

    async def claim(self, session_id: SessionId, stream_id: str) -> KeptCall | None:
        return None  # nobody else could have owned it

    async def let_go(self, session_id: SessionId, stream_id: str) -> None:
        """Nobody is there to go on."""

    async def take_turn(
        self, session_id: SessionId, stream_id: str, follower: str, *, force: bool
    ) -> int | None:
        return 0  # followers in one process know each other

    async def end_turn(
        self, session_id: SessionId, stream_id: str, follower: str, reached: int
    ) -> None:
        """Nobody else follows."""

    async def release(self) -> None:
        """Nobody is there to go on."""

    async def put(
        self, session_id: SessionId, data: bytes, *, drop_oldest: bool = True
    ) -> int | None:
        if not self._is_there(session_id):
            return 0
        ring = self._kept(session_id).streams.setdefault(SESSION_STREAM, Ring())
        if ring.is_full and not drop_oldest:
            return None
        number = next_own_number(ring.last, self._clock())
        ring.append(number, data)
        return number

    async def has_room(self, session_id: SessionId) -> bool:
        ring = self._ring(session_id, SESSION_STREAM)
        return ring is None or not ring.is_full

    async def take(self, session_id: SessionId, through: int) -> None:
        ring = self._ring(session_id, SESSION_STREAM)
        if ring is not None:
            ring.take(through)

    async def watch(self, session_id: SessionId, topics: frozenset[str]) -> None:
        if self._is_there(session_id):
            self._kept(session_id).topics = topics

    async def announce(self, topic: str, data: bytes) -> list[SessionId]:
        reached = [
            session_id for session_id, kept in self._sessions.items() if topic in kept.topics
        ]
        for session_id in reached:
            await self.put(session_id, data)
        return reached

    async def ask(self, session_id: SessionId, asker: str, request_id: str) -> None:
        if self._is_there(session_id):
            answers = self._kept(session_id).answers.setdefault(asker, {})
            answers.setdefault(request_id, None)

    async def answer(self, session_id: SessionId, request_id: str, reply: bytes) -> bool:
        for answers in self._answers_of(session_id):
            if request_id in answers:
                if answers[request_id] is None:
                    answers[request_id] = reply
                return True
        return False

    async def answer_to(self, session_id: SessionId, request_id: str) -> bytes | None:
        for answers in self._answers_of(session_id):
            if request_id in answers:
                return answers[request_id]
        return None

    async def forget_questions(self, session_id: SessionId, asker: str) -> None:
        kept = self._sessions.get(session_id)
        if kept is not None:
            kept.answers.pop(asker, None)
            if kept.is_empty:
                del self._sessions[session_id]

    async def sweep(self, now: float) -> None:
        for kept in self._sessions.values():
            self._drop_finished(kept.streams, now - KEEP_FINISHED_S)

    def forget(self, session_id: SessionId) -> None:
        self._sessions.pop(session_id, None)

    # --- helpers ------------------------------------------------------------------------------

    def _ring(self, session_id: SessionId, stream_id: str) -> Ring | None:
        kept = self._sessions.get(session_id)
        return None if kept is None else kept.streams.get(stream_id)

    def _kept(self, session_id: SessionId) -> _Kept:
        return self._sessions.setdefault(session_id, _Kept())

    def _answers_of(self, session_id: SessionId) -> Iterator[dict[str, bytes | None]]:
        kept = self._sessions.get(session_id)
        return iter(()) if kept is None else iter(kept.answers.values())

    def _make_room(self, streams: dict[str, Ring], size: int) -> None:
        """For one more finished stream of so many bytes."""
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
