"""Answers of clients to questions of the server, in this process."""

from collections.abc import Iterator

from mcpd.sessions.memory.kept import KeptSessions
from mcpd.sessions.record import SessionId


class MemoryAnswers:
    """See AnswerInbox."""

    def __init__(self, kept: KeptSessions) -> None:
        self._kept = kept

    async def expect(self, session_id: SessionId, asker: str, request_id: str) -> None:
        if self._kept.is_there(session_id):
            answers = self._kept.make(session_id).answers.setdefault(asker, {})
            answers.setdefault(request_id, None)

    async def deliver(self, session_id: SessionId, request_id: str, reply: bytes) -> bool:
        for answers in self._answers(session_id):
            if request_id in answers:
                if answers[request_id] is None:
                    answers[request_id] = reply
                return True
        return False

    async def find(self, session_id: SessionId, request_id: str) -> bytes | None:
        for answers in self._answers(session_id):
            if request_id in answers:
                return answers[request_id]
        return None

    async def forget(self, session_id: SessionId, asker: str) -> None:
        kept = self._kept.get(session_id)
        if kept is not None:
            kept.answers.pop(asker, None)
            if kept.is_empty:
                self._kept.forget(session_id)

    def _answers(self, session_id: SessionId) -> Iterator[dict[str, bytes | None]]:
        kept = self._kept.get(session_id)
        return iter(()) if kept is None else iter(kept.answers.values())
