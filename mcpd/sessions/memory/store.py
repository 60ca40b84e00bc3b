"""Sessions in this process alone."""

import heapq
from collections import OrderedDict
from collections.abc import Collection, Sequence

from msgspec.structs import replace

from mcpd.sessions.record import Session, SessionId
from mcpd.sessions.store import EXPIRE_BATCH, Change, Counts

_Owner = tuple[str | None, str | None]


class _Entry:
    __slots__ = ("last_activity", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.last_activity = session.last_activity

    def current(self) -> Session:
        return replace(self.session, last_activity=self.last_activity)


class MemoryStore:
    """See SessionStore. Entries stand in the order of their last activity."""

    kind = "memory"
    trouble = ""

    def __init__(self) -> None:
        self._entries: OrderedDict[SessionId, _Entry] = OrderedDict()
        self._unbound: OrderedDict[SessionId, None] = OrderedDict()
        self._owned: dict[_Owner, set[SessionId]] = {}

    async def create(self, session: Session, *, max_unbound: int) -> list[SessionId]:
        self._entries[session.id] = _Entry(session)
        if session.subject is None:
            self._unbound[session.id] = None
        else:
            self._owned.setdefault(_owner(session), set()).add(session.id)
        dropped = []
        while len(self._unbound) > max_unbound:
            oldest = next(iter(self._unbound))
            dropped.append(oldest)
            self._forget(oldest)
        return dropped

    async def get(self, session_id: SessionId, *, alive_since: float) -> Session | None:
        return self.recall(session_id, alive_since=alive_since)

    def recall(self, session_id: SessionId, *, alive_since: float) -> Session | None:
        entry = self._entries.get(session_id)
        if entry is None or entry.last_activity <= alive_since:
            return None
        return entry.session

    def touch(self, session_id: SessionId, now: float) -> None:
        entry = self._entries.get(session_id)
        if entry is not None:
            entry.last_activity = now
            self._entries.move_to_end(session_id)

    async def update(self, session_id: SessionId, change: Change) -> Session | None:
        entry = self._entries.get(session_id)
        if entry is None:
            return None
        entry.session = change(entry.session)
        return entry.session

    async def bind(self, session_id: SessionId, issuer: str, subject: str) -> Session | None:
        entry = self._entries.get(session_id)
        if entry is None:
            return None
        if entry.session.subject is None:
            entry.session = replace(entry.session, issuer=issuer, subject=subject)
            self._unbound.pop(session_id, None)
            self._owned.setdefault(_owner(entry.session), set()).add(session_id)
        return entry.session

    async def count_owned(self, session: Session) -> int:
        return len(self._owned.get(_owner(session), ()))

    async def trim(self, session: Session, *, keep: int) -> list[SessionId]:
        mine = self._owned.get(_owner(session), set()) - {session.id}
        surplus = len(mine) + 1 - keep
        dropped = sorted(mine, key=lambda one: self._entries[one].last_activity)[: max(0, surplus)]
        for session_id in dropped:
            self._forget(session_id)
        return dropped

    async def end(self, session_id: SessionId) -> bool:
        return self._forget(session_id)

    async def expire(self, cutoff: float) -> list[SessionId]:
        expired: list[SessionId] = []
        while self._entries and len(expired) < EXPIRE_BATCH:
            session_id, entry = next(iter(self._entries.items()))
            if entry.last_activity > cutoff:
                break
            expired.append(session_id)
            self._forget(session_id)
        return expired

    async def list(
        self, *, alive_since: float, limit: int, after: SessionId | None = None
    ) -> list[Session]:
        wanted = (
            entry
            for session_id, entry in self._entries.items()
            if entry.last_activity > alive_since and (after is None or session_id > after)
        )
        chosen = heapq.nsmallest(limit, wanted, key=lambda entry: entry.session.id)
        return [entry.current() for entry in chosen]

    async def check(self) -> str:
        return "ok"

    async def count(self) -> Counts:
        return Counts(len(self._entries), len(self._unbound))

    async def refresh(self, active: Collection[SessionId]) -> Sequence[SessionId]:
        return ()  # no other process can reach it

    def has(self, session_id: SessionId) -> bool:
        """Whether the session is not over."""
        return session_id in self._entries

    async def flush(self) -> None:
        """Nothing waits to be written."""

    def close(self) -> None:
        """Nothing is held."""

    def _forget(self, session_id: SessionId) -> bool:
        self._unbound.pop(session_id, None)
        entry = self._entries.pop(session_id, None)
        if entry is None:
            return False
        mine = self._owned.get(_owner(entry.session), set())
        mine.discard(session_id)
        if not mine:
            self._owned.pop(_owner(entry.session), None)
        return True


def _owner(session: Session) -> _Owner:
    return session.issuer, session.subject
