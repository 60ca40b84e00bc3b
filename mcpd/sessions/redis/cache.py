"""Records that were read lately. One is dropped when its session changes or ends in any process."""

from collections import OrderedDict

import trio

from mcpd.sessions.record import Session, SessionId

CACHE_ENTRIES = 20_000


class Cached:
    """A record as it was read."""

    __slots__ = ("activity", "read_at", "session")

    def __init__(self, session: Session, activity: float, read_at: float) -> None:
        self.session = session
        self.activity = activity
        self.read_at = read_at


class RecordCache:
    """Bounded by CACHE_ENTRIES.

    Attributes:
        changes: of records that were heard of, here and elsewhere.
    """

    def __init__(self) -> None:
        self.changes = 0
        self._records: OrderedDict[SessionId, Cached] = OrderedDict()
        self._changed: OrderedDict[SessionId, int] = OrderedDict()  # → the last change of it

    def get(self, session_id: SessionId) -> Cached | None:
        """What was read of it."""
        return self._records.get(session_id)

    def remember(self, session: Session, activity: float, since: int) -> Cached:
        """Use a record from here on, unless it changed again while it was on its way to us.

        Args:
            since: ``changes`` when it was asked for.
        """
        cached = Cached(session, activity, trio.current_time())
        if self._changed.get(session.id, 0) > since:
            self._records.pop(session.id, None)
            return cached
        self._records[session.id] = cached
        self._records.move_to_end(session.id)
        if len(self._records) > CACHE_ENTRIES:
            self._records.popitem(last=False)
        return cached

    def forget(self, session_id: SessionId) -> None:
        """Ask again the next time."""
        self._records.pop(session_id, None)

    def clear(self) -> None:
        """The same for all."""
        self._records.clear()

    def note_change(self, session_id: SessionId) -> None:
        """A record that is on its way to us may be an old one."""
        self.changes += 1
        self._changed[session_id] = self.changes
        self._changed.move_to_end(session_id)
        if len(self._changed) > CACHE_ENTRIES:
            self._changed.popitem(last=False)
