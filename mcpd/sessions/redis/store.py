"""Records in Redis, expired by Redis, with what was read lately kept for a moment.

A cached record is dropped when its session changes or ends in any process (SignalKind.CHANGED and
ENDED), and is not used while the link is down, since then nothing would be heard.
"""

import logging
from collections.abc import Collection, Sequence

import trio
from msgspec.structs import replace

from mcpd.errors import StoreError
from mcpd.sessions.bus import Signal, SignalKind
from mcpd.sessions.record import Session, SessionId
from mcpd.sessions.redis import session_scripts as scripts
from mcpd.sessions.redis.bus import RedisBus
from mcpd.sessions.redis.cache import Cached, RecordCache
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.lua import Run
from mcpd.sessions.redis.owners import OwnedSessions
from mcpd.sessions.redis.record import encode, is_bound, pack, padded, unpack
from mcpd.sessions.redis.removal import Removal
from mcpd.sessions.redis.session_index import SessionIndex, ids
from mcpd.sessions.redis.session_scripts import Only
from mcpd.sessions.store import ACTIVITY_LAG_S, EXPIRE_BATCH, Change, Counts

CACHE_S = ACTIVITY_LAG_S  # how long a record is used without asking again
TOUCH_BATCH = 500  # sessions whose activity is written in one command
MAX_DIRTY = 50_000
REPLACE_TRIES = 50  # of a record that others change at the same time
TTL_SLACK_S = 60  # the store says when a session is over; Redis only forgets what was not swept

log = logging.getLogger("mcpd.redis")


class RedisStore:
    """See SessionStore.

    Args:
        timeout_s: as the sessions have it; a key outlives it by TTL_SLACK_S.
    """

    kind = "redis"

    def __init__(self, redis: RedisLink, bus: RedisBus, *, timeout_s: float) -> None:
        self._redis = redis
        self._bus = bus
        self._keys = redis.keys
        self._index = SessionIndex(redis)
        self._removal = Removal(redis, self._index)
        self._owned = OwnedSessions(redis)
        self._ttl_s = int(timeout_s) + TTL_SLACK_S
        self._cache = RecordCache()
        self._dirty: dict[SessionId, float] = {}
        self._missed = False  # signals, perhaps
        bus.listen(SignalKind.CHANGED, self._changed_elsewhere)
        bus.listen(SignalKind.ENDED, self._changed_elsewhere)
        bus.on_resync.append(self._look_again)

    async def create(self, session: Session, *, max_unbound: int) -> list[SessionId]:
        activity = session.last_activity
        _, surplus = await self._redis.pipeline(
            ("SET", self._keys.record(session.id), pack(session, activity), "EX", self._ttl_s),
            self._index.addition(session, activity, max_unbound),
            durable=True,
        )
        self._cache.remember(session, activity, self._cache.changes)
        try:
            dropped = await self._removal.drop(ids(surplus), Only.UNBOUND)
        except StoreError as error:  # this one was kept; the next one finds them again
            log.info("sessions without a principal are dropped later: %s", error.message)
            return []
        return [self._forget(session_id) for session_id in dropped]

    async def get(self, session_id: SessionId, *, alive_since: float) -> Session | None:
        cached = self._fresh(session_id) or await self._read(session_id)
        if cached is None or cached.activity <= alive_since:
            return None
        return cached.session

    def recall(self, session_id: SessionId, *, alive_since: float) -> Session | None:
        cached = self._fresh(session_id)
        return None if cached is None or cached.activity <= alive_since else cached.session

    def _fresh(self, session_id: SessionId) -> Cached | None:
        cached = self._cache.get(session_id)
        if cached is None or not self._redis.is_up:
            return None
        return cached if trio.current_time() - cached.read_at <= CACHE_S else None

    async def _read(self, session_id: SessionId) -> Cached | None:
        since = self._cache.changes
        kept = await self._redis.call("GET", self._keys.record(session_id))
        if kept is None:
            self._forget(session_id)
            return None
        session, activity, _ = unpack(kept)
        known = max(activity, self._dirty.get(session_id, activity))
        return self._cache.remember(replace(session, last_activity=known), known, since)

    def touch(self, session_id: SessionId, now: float) -> None:
        cached = self._cache.get(session_id)
        if cached is not None:
            cached.activity = now
        self._dirty[session_id] = now

    async def update(self, session_id: SessionId, change: Change) -> Session | None:
        for _ in range(REPLACE_TRIES):
            since = self._cache.changes
            kept = await self._redis.call("GET", self._keys.record(session_id))
            if kept is None:
                self._forget(session_id)
                return None
            before, _, old = unpack(kept)
            after = change(before)
            if await self._replace(session_id, old, after):
                self._bus.publish(Signal(SignalKind.CHANGED, session_id))
                known = self._cache.get(session_id)
                activity = after.last_activity if known is None else known.activity
                self._cache.remember(after, activity, since)
                self._cache.note_change(session_id)
                return after
        raise StoreError("The session is changed by too many at once.", fix="Try again.")

    async def _replace(self, session_id: SessionId, old: bytes, after: Session) -> bool:
        new = encode(after)
        if new == old:
            return True
        done = await self._redis.run(
            scripts.REPLACE,
            (self._keys.record(session_id),),
            old,
            new,
            is_bound(after),
            durable=True,
        )
        if done and after.subject is not None:
            self._index.has_principal(session_id)
        return bool(done)

    async def bind(self, session_id: SessionId, issuer: str, subject: str) -> Session | None:
        def claim(session: Session) -> Session:
            if session.subject is not None:
                return session
            bound: Session = replace(session, issuer=issuer, subject=subject)
            return bound

        return await self.update(session_id, claim)

    async def count_owned(self, session: Session) -> int:
        return await self._owned.add(session)

    async def trim(self, session: Session, *, keep: int) -> list[SessionId]:
        await self.flush()  # or one that is in use would look idle
        surplus = await self._owned.surplus(session, keep)
        dropped = await self._removal.drop(surplus, Only.ANY)
        return [self._forget(session_id) for session_id in dropped]

    async def end(self, session_id: SessionId) -> bool:
        there = await self._removal.drop([session_id], Only.ANY)
        self._forget(session_id)
        return bool(there)

    async def expire(self, cutoff: float) -> list[SessionId]:
        await self.flush()
        expired: list[SessionId] = []
        before: list[SessionId] = []
        while len(expired) < EXPIRE_BATCH:
            idle = await self._index.idle(cutoff, EXPIRE_BATCH - len(expired))
            if not idle or idle == before:  # the index could not be put right
                break
            before = idle
            expired += await self._removal.drop(idle, Only.IDLE, cutoff)
        await self._index.repair()
        return [self._forget(session_id) for session_id in expired]

    async def list(
        self, *, alive_since: float, limit: int, after: SessionId | None = None
    ) -> list[Session]:
        await self.flush()
        page: list[Session] = []
        while len(page) < limit:
            found = await self._index.page(after, limit)
            if not found:
                break
            page += await self._alive(found, alive_since)
            after = found[-1]
        return page[:limit]

    async def _alive(self, wanted: Sequence[SessionId], alive_since: float) -> Sequence[Session]:
        kept = await self._redis.pipeline(*(("GET", self._keys.record(one)) for one in wanted))
        records = [unpack(record) for record in kept if record is not None]
        return [session for session, activity, _ in records if activity > alive_since]

    async def check(self) -> str:
        await self._index.look()
        return self._redis.state

    async def count(self) -> Counts:
        return await self._index.count()

    @property
    def trouble(self) -> str:
        return self._redis.trouble

    async def refresh(self, active: Collection[SessionId]) -> Sequence[SessionId]:
        if not self._missed:
            return ()  # signals tell
        self._missed = False
        try:
            return await self._gone_of(tuple(active))
        except StoreError:
            self._missed = True
            raise

    async def flush(self) -> None:
        if not self._dirty:
            return
        behind, self._dirty = self._dirty, {}
        rows = list(behind.items())
        try:
            for start in range(0, len(rows), TOUCH_BATCH):
                await self._write_activity(rows[start : start + TOUCH_BATCH])
        except StoreError:
            if len(self._dirty) < MAX_DIRTY:
                self._dirty = behind | self._dirty
            raise

    async def _write_activity(self, rows: Sequence[tuple[SessionId, float]]) -> None:
        keys = self._keys
        there = await self._redis.pipeline(
            *(
                Run(
                    scripts.TOUCH,
                    (keys.record(session_id), *keys.stream(session_id)),
                    (self._ttl_s, padded(activity)),
                )
                for session_id, activity in rows
            )
        )
        await self._index.touch(
            [row for row, is_there in zip(rows, there, strict=True) if is_there]
        )

    def close(self) -> None:
        """The link ends with its task."""

    async def _gone_of(self, ids: Sequence[SessionId]) -> Sequence[SessionId]:
        there: set[SessionId] = set()
        for start in range(0, len(ids), TOUCH_BATCH):
            batch = ids[start : start + TOUCH_BATCH]
            looks = [("EXISTS", self._keys.record(session_id)) for session_id in batch]
            counts = await self._redis.pipeline(*looks)
            there.update(one for one, count in zip(batch, counts, strict=True) if count)
        return [session_id for session_id in ids if session_id not in there]

    def _forget(self, session_id: SessionId) -> SessionId:
        self._cache.forget(session_id)
        self._dirty.pop(session_id, None)
        return session_id

    def _look_again(self) -> None:
        self._cache.clear()
        self._missed = True

    def _changed_elsewhere(self, signal: Signal) -> None:
        session_id = SessionId(signal.session_id)
        self._cache.forget(session_id)
        self._cache.note_change(session_id)
