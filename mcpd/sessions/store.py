"""What every session store does. One contract test suite runs over all of them.

``touch`` is called for every request that names a session and must cost next to nothing; a
store may write activity times behind, up to ACTIVITY_LAG_S. Everything else is durable when it
returns, as far as the store is durable at all.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from mcpd.sessions.record import Session, SessionId

ACTIVITY_LAG_S = 5.0  # activity times that a crash may lose, in seconds
EXPIRE_BATCH = 500  # sessions ended in one step of a sweep


@dataclass(frozen=True, slots=True)
class Counts:
    """How many sessions there are."""

    total: int
    unbound: int  # without a principal


Change = Callable[[Session], Session]


class SessionStore(Protocol):
    """A session is alive while its last activity is later than ``alive_since``."""

    kind: str  # for /health and logs: memory, sqlite, ...

    @property
    def trouble(self) -> str:
        """What keeps the store from working as it should, in public words; empty: nothing."""

    async def create(self, session: Session, *, max_unbound: int) -> list[SessionId]:
        """Keep a new session. While more than ``max_unbound`` have no principal, the oldest of
        those are dropped; their ids are returned.

        Raises:
            StoreError: it was not kept.
        """

    async def get(self, session_id: SessionId, *, alive_since: float) -> Session | None:
        """The session, or None if it is unknown or no longer alive.

        Raises:
            StoreError: the store cannot be read.
        """

    def recall(self, session_id: SessionId, *, alive_since: float) -> Session | None:
        """What ``get`` would return, if this process knows it without asking; None: ask ``get``."""

    def touch(self, session_id: SessionId, now: float) -> None:
        """Move the last activity of a session that ``get`` has returned."""

    async def update(self, session_id: SessionId, change: Change) -> Session | None:
        """Apply ``change`` to the record as it is now, in one step, and return the result; its
        times and principal stay. None: it is gone.

        Raises:
            StoreError: it was not kept.
            McpdError: ``change`` refused; nothing changed.
        """

    async def bind(self, session_id: SessionId, issuer: str, subject: str) -> Session | None:
        """Give the session its principal if it has none; the first one stays. Returns the
        record as it is then, or None if it is gone.

        Raises:
            StoreError: it was not kept.
        """

    async def count_owned(self, session: Session) -> int:
        """How many sessions the principal of this new one has; some of them may be over.

        Raises:
            StoreError: the store cannot be read.
        """

    async def trim(self, session: Session, *, keep: int) -> list[SessionId]:
        """Forget sessions of this one's principal until ``keep`` are left, without activity for
        longest first, this one never; returns which.

        Raises:
            StoreError: they are still there.
        """

    async def end(self, session_id: SessionId) -> bool:
        """Forget a session; False: it was not there.

        Raises:
            StoreError: it is still there.
        """

    async def expire(self, cutoff: float) -> list[SessionId]:
        """Forget up to EXPIRE_BATCH sessions whose last activity is not later than ``cutoff``;
        costs what expires, not what exists.

        Raises:
            StoreError: they are still there.
        """

    async def list(
        self, *, alive_since: float, limit: int, after: SessionId | None = None
    ) -> list[Session]:
        """Sessions in the order of their ids, from the one behind ``after``.

        Raises:
            StoreError: the store cannot be read.
        """

    async def check(self) -> str:
        """``ok``, or in a word why it cannot be written now. Costs the same however much it holds.

        Raises:
            StoreError: the store cannot be read.
        """

    async def count(self) -> Counts:
        """How many there are, expired but not yet swept ones included."""

    async def refresh(self, active: Collection[SessionId]) -> Sequence[SessionId]:
        """Notice what other processes did to the store without a signal; returns the sessions that
        ended.

        Args:
            active: sessions that something in this process belongs to.

        Raises:
            StoreError: it is noticed the next time.
        """

    async def flush(self) -> None:
        """Write activity times that are still behind.

        Raises:
            StoreError: they are kept for the next time.
        """

    def close(self) -> None:
        """Let go of files and connections; flush first."""
