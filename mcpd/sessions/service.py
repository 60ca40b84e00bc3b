"""Sessions as the rest of the server sees them: opened, found, owned, swept."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import trio
from msgspec.structs import replace

from mcpd.auth.principals import Principal
from mcpd.clock import SteadyClock
from mcpd.errors import BadRequest, SessionNotFound, StoreError
from mcpd.events import SessionEnded, SessionsSwept
from mcpd.limits.seldom import Seldom
from mcpd.observer import Observer
from mcpd.sessions.active_sessions import ActiveSessions
from mcpd.sessions.bus import Bus, Signal, SignalKind
from mcpd.sessions.record import Move, Session, SessionId, step
from mcpd.sessions.store import ACTIVITY_LAG_S, EXPIRE_BATCH, Change, SessionStore

log = logging.getLogger("mcpd.sessions")

MAX_SESSION_ID_CHARS = 128
SWEEP_EVERY_S = 15.0


@dataclass(slots=True)
class Sessions:
    """The store with its rules.

    Args:
        store: where the records are.
        timeout_s: seconds without activity after which a session is gone.
        max_unbound: sessions that may wait for their first authenticated request.
        max_per_user: sessions of one principal.
        clock: of the store: Unix seconds.
        bus: to the other processes of the store.
    """

    store: SessionStore
    timeout_s: float = 3600.0
    max_unbound: int = 10_000
    max_per_user: int = 1000
    clock: Callable[[], float] = field(default_factory=SteadyClock)
    active: ActiveSessions = field(default_factory=ActiveSessions)
    bus: Bus = field(default_factory=Bus)
    observer: Observer = field(default_factory=Observer)

    def __post_init__(self) -> None:
        self.bus.listen(SignalKind.ENDED, self._over_elsewhere)

    async def open(self, session: Session) -> None:
        """Keep a new session. Of a principal that has too many those end that had no activity for
        longest: a client that forgets its sessions must not keep its user out.

        Raises:
            StoreError: it was not kept.
        """
        for dropped in await self.store.create(session, max_unbound=self.max_unbound):
            self._over(dropped)
        if session.subject is not None:
            await self._trim(session)

    async def _trim(self, session: Session) -> None:
        if await self.store.count_owned(session) <= self.max_per_user:
            return
        now = self.clock()
        for session_id in self.active.active():
            self.store.touch(session_id, now)
        for dropped in await self.store.trim(session, keep=self.max_per_user):
            self._over(dropped)

    async def find(self, raw_id: str) -> Session:
        """The live session of this id; its activity moves to now.

        Raises:
            SessionNotFound: unknown, ended or expired.
            BadRequest: the id cannot be one.
            StoreError: the store cannot be read.
        """
        if not raw_id or len(raw_id) > MAX_SESSION_ID_CHARS or not raw_id.isprintable():
            raise BadRequest("The session id is malformed.", fix="Send it as it was given.")
        session_id, now = SessionId(raw_id), self.clock()
        session = await self.store.get(session_id, alive_since=now - self.timeout_s)
        if session is None:
            raise gone()
        self.store.touch(session_id, now)
        return session

    def recall(self, session_id: SessionId, principal: Principal) -> Session | None:
        """What ``find`` and ``claim`` would return, if this process knows it; None: ask them.

        Args:
            session_id: one that ``find`` has taken before.
        """
        now = self.clock()
        session = self.store.recall(session_id, alive_since=now - self.timeout_s)
        if session is None or not principal.owns(session.issuer, session.subject):
            return None
        self.store.touch(session_id, now)
        return session

    async def claim(self, session: Session, principal: Principal) -> Session:
        """The session, as its principal's; the first authenticated request makes it so.

        Raises:
            SessionNotFound: it belongs to another principal, which is not told apart from gone.
            StoreError: the store cannot be written.
        """
        if session.subject is None:
            bound = await self.store.bind(session.id, principal.issuer, principal.subject)
            if bound is None:
                raise gone()
            session = bound
            await self._trim(session)
        if not principal.owns(session.issuer, session.subject):
            raise gone()
        return session

    async def move(self, session: Session, move: Move, **changes: object) -> Session:
        """Make a move of the table, with what it changes in the record.

        Raises:
            InvalidRequest: the move is not open now.
            SessionNotFound: the session ended meanwhile.
            StoreError: it was not kept.
        """
        return await self._update(
            session, lambda now: replace(now, state=step(now.state, move), **changes)
        )

    async def amend(self, session: Session, **changes: object) -> Session:
        """Change members of the record; whatever else changes at the same time stays.

        Raises:
            SessionNotFound: the session ended meanwhile.
            StoreError: it was not kept.
        """
        return await self._update(session, lambda now: replace(now, **changes))

    async def _update(self, session: Session, change: Change) -> Session:
        changed = await self.store.update(session.id, change)
        if changed is None:
            raise gone()
        return changed

    async def end(self, session: Session) -> None:
        """End it, with its streams.

        Raises:
            SessionNotFound: it ended meanwhile.
            StoreError: it is still there.
        """
        was_there = await self.store.end(session.id)
        self._over(session.id)
        if not was_there:
            raise gone()
        self.observer.tell(SessionEnded(session.revision or "", self.clock() - session.created_at))

    def _over(self, session_id: SessionId) -> None:
        """Tell this process and the others."""
        self.active.ended(session_id)
        self.bus.publish(Signal(SignalKind.ENDED, session_id))

    def _over_elsewhere(self, signal: Signal) -> None:
        self.active.ended(SessionId(signal.session_id))

    async def sweep(self) -> int:
        """End every session that is past its time; returns how many.

        Raises:
            StoreError: the rest waits for the next sweep.
        """
        now = self.clock()
        for session_id in self.active.active():
            self.store.touch(session_id, now)
        total = 0
        while expired := await self.store.expire(now - self.timeout_s):
            total += len(expired)
            for session_id in expired:
                self.active.ended(session_id)
            if len(expired) < EXPIRE_BATCH:
                break
            await trio.lowlevel.checkpoint()
        return total

    async def run_upkeep(self) -> None:
        """Write activity behind and sweep, for ever. A store that fails is tried again."""
        next_sweep = trio.current_time()
        complaints = Seldom()
        while True:
            try:
                if trio.current_time() >= next_sweep:
                    next_sweep = trio.current_time() + min(SWEEP_EVERY_S, self.timeout_s / 2)
                    swept = await self.sweep()
                    if swept:
                        self.observer.tell(SessionsSwept(swept))
                        log.info("sessions expired: %d", swept)
                await self.store.flush()
                for session_id in await self.store.refresh(self.active.active()):
                    self.active.ended(session_id)
            except StoreError as error:
                if complaints.is_due(trio.current_time()):
                    log.warning("session upkeep fails, and is tried again: %s", error)
            await trio.sleep(min(ACTIVITY_LAG_S, self.timeout_s / 2))


def gone() -> SessionNotFound:
    """The one answer for ended, expired, unknown and foreign sessions."""
    return SessionNotFound(
        "The session is not known here: it ended, expired, or never was.",
        fix="Send initialize without Mcp-Session-Id to begin a new one.",
    )
