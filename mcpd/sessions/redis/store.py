"""Records in Redis, expired by Redis, with what was read lately kept for a moment.

A cached record is dropped when its session changes or ends in any process (SignalKind.CHANGED and
ENDED), and is not used while the link is down, since then nothing would be heard.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence

import msgspec
import trio
from msgspec.structs import replace

from mcpd.errors import StoreError
from mcpd.sessions.bus import Signal, SignalKind
from mcpd.sessions.record import Session, SessionId
from mcpd.sessions.redis import session_scripts as scripts
from mcpd.sessions.redis.bus import RedisBus
from mcpd.sessions.redis.connection import RedisConnection
from mcpd.sessions.redis.owners import ADD_OWNED, KEEP_S, SURPLUS, owner_index
from mcpd.sessions.store import ACTIVITY_LAG_S, EXPIRE_BATCH, Change, Counts

CACHE_S = ACTIVITY_LAG_S  # how long a record is used without asking again
CACHE_ENTRIES = 20_000
TOUCH_BATCH = 500  # sessions whose activity is written in one command
MAX_DIRTY = 50_000
REPLACE_TRIES = 50  # of a record that others change at the same time
TTL_SLACK_S = 60  # the store says when a session is over; Redis only forgets what was not swept

_decode = msgspec.json.Decoder(Session)


class _Cached:
    __slots__ = ("activity", "read_at", "session")

    def __init__(self, session: Session, activity: float, read_at: float) -> None:
        self.session = session
        self.activity = activity
        self.read_at = read_at


class RedisStore:
    """See SessionStore.

    Args:
        timeout_s: as the sessions have it; a key outlives it by TTL_SLACK_S.
    """

    kind = "redis"

    def __init__(self, redis: RedisConnection, bus: RedisBus, *, timeout_s: float) -> None:
        self._redis = redis
        self._bus = bus
        self._prefix = redis.address.prefix
        self._ttl_s = int(timeout_s) + TTL_SLACK_S
        self._cache: OrderedDict[SessionId, _Cached] = OrderedDict()
        self._changes = 0  # heard of, here and elsewhere
        self._changed: OrderedDict[SessionId, int] = OrderedDict()  # → the last change of it
        self._dirty: dict[SessionId, float] = {}
        self._missed = False  # signals, perhaps
        bus.listen(SignalKind.CHANGED, self._changed_elsewhere)
        bus.listen(SignalKind.ENDED, self._changed_elsewhere)
        bus.on_resync.append(self._look_again)

    async def create(self, session: Session, *, max_unbound: int) -> list[SessionId]:
        dropped = await self._redis.run_script(
            scripts.CREATE,
            self._prefix,
            session.id,
            msgspec.json.encode(session),
            session.created_at,
            session.last_activity,
            int(session.subject is None),
            max_unbound,
            self._ttl_s,
        )
        self._remember(session, session.last_activity, self._changes)
        return [self._forget(session_id) for session_id in _ids(dropped)]

    async def get(self, session_id: SessionId, *, alive_since: float) -> Session | None:
        cached = self._fresh(session_id) or await self._read(session_id)
        if cached is None or cached.activity <= alive_since:
            return None
        return cached.session

    def recall(self, session_id: SessionId, *, alive_since: float) -> Session | None:
        cached = self._fresh(session_id)
        return None if cached is None or cached.activity <= alive_since else cached.session

    def _fresh(self, session_id: SessionId) -> _Cached | None:
        cached = self._cache.get(session_id)
        if cached is None or not self._redis.is_up:
            return None
        return cached if trio.current_time() - cached.read_at <= CACHE_S else None

    async def _read(self, session_id: SessionId) -> _Cached | None:
        since = self._changes
        record, activity = await self._redis.pipeline(
            ("GET", f"{self._prefix}:s:{session_id}"),
            ("ZSCORE", f"{self._prefix}:activity", session_id),
        )
        if record is None:
            self._forget(session_id)
            return None
        session = _session(record)
        known = session.last_activity if activity is None else float(activity)
        known = max(known, self._dirty.get(session_id, known))
        return self._remember(replace(session, last_activity=known), known, since)

    def touch(self, session_id: SessionId, now: float) -> None:
        cached = self._cache.get(session_id)
        if cached is not None:
            cached.activity = now
        self._dirty[session_id] = now

    async def update(self, session_id: SessionId, change: Change) -> Session | None:
        for _ in range(REPLACE_TRIES):
            since = self._changes
            old = await self._redis.call("GET", f"{self._prefix}:s:{session_id}")
            if old is None:
                self._forget(session_id)
                return None
            before = _session(old)
            after = change(before)
            if await self._replace(session_id, old, after):
                self._bus.publish(Signal(SignalKind.CHANGED, session_id))
                known = self._cache.get(session_id)
                activity = after.last_activity if known is None else known.activity
                self._remember(after, activity, since)
                self._note_change(session_id)
                return after
        raise StoreError("The session is changed by too many at once.", fix="Try again.")

    async def _replace(self, session_id: SessionId, old: bytes, after: Session) -> bool:
        new, bound = msgspec.json.encode(after), int(after.subject is not None)
        if new == old:
            return True
        done = await self._redis.run_script(
            scripts.REPLACE, self._prefix, session_id, old, new, bound
        )
        return bool(done)

    async def bind(self, session_id: SessionId, issuer: str, subject: str) -> Session | None:
        def claim(session: Session) -> Session:
            if session.subject is not None:
                return session
            bound: Session = replace(session, issuer=issuer, subject=subject)
            return bound

        return await self.update(session_id, claim)

    async def count_owned(self, session: Session) -> int:
        index = owner_index(self._prefix, session)
        return int(await self._redis.run_script(ADD_OWNED, index, session.id, KEEP_S))

    async def trim(self, session: Session, *, keep: int) -> list[SessionId]:
        await self.flush()  # or one that is in use would look idle
        index = owner_index(self._prefix, session)
        surplus = await self._redis.run_script(SURPLUS, self._prefix, index, session.id, keep)
        dropped = _ids(surplus)
        for session_id in dropped:
            await self.end(session_id)
        return dropped

    async def end(self, session_id: SessionId) -> bool:
        there = await self._redis.run_script(scripts.DROP, self._prefix, session_id)
        self._forget(session_id)
        return bool(there)

    async def expire(self, cutoff: float) -> list[SessionId]:
        await self.flush()
        expired = await self._redis.run_script(scripts.EXPIRE, self._prefix, cutoff, EXPIRE_BATCH)
        return [self._forget(session_id) for session_id in _ids(expired)]

    async def list(
        self, *, alive_since: float, limit: int, after: SessionId | None = None
    ) -> list[Session]:
        await self.flush()
        page: list[Session] = []
        start = f"({after}" if after else "-"
        while len(page) < limit:
            ids = _ids(
                await self._redis.call(
                    "ZRANGEBYLEX", f"{self._prefix}:ids", start, "+", "LIMIT", 0, limit
                )
            )
            if not ids:
                break
            page += await self._alive(ids, alive_since)
            start = f"({ids[-1]}"
        return page[:limit]

    async def _alive(self, ids: Sequence[SessionId], alive_since: float) -> Sequence[Session]:
        records, activities = await self._redis.pipeline(
            ("MGET", *(f"{self._prefix}:s:{session_id}" for session_id in ids)),
            ("ZMSCORE", f"{self._prefix}:activity", *ids),
        )
        return [
            replace(_session(record), last_activity=float(activity))
            for record, activity in zip(records, activities, strict=True)
            if record is not None and activity is not None and float(activity) > alive_since
        ]

    async def check(self) -> str:
        await self._redis.call("EXISTS", f"{self._prefix}:activity")
        return "ok"

    async def count(self) -> Counts:
        total, unbound = await self._redis.pipeline(
            ("ZCARD", f"{self._prefix}:activity"), ("ZCARD", f"{self._prefix}:unbound")
        )
        return Counts(int(total), int(unbound))

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
                pairs = [value for row in rows[start : start + TOUCH_BATCH] for value in row]
                await self._redis.run_script(scripts.TOUCH, self._prefix, self._ttl_s, *pairs)
        except StoreError:
            if len(self._dirty) < MAX_DIRTY:
                self._dirty = behind | self._dirty
            raise

    def close(self) -> None:
        """The link ends with its task."""

    async def _gone_of(self, ids: Sequence[SessionId]) -> Sequence[SessionId]:
        there: set[SessionId] = set()
        for start in range(0, len(ids), TOUCH_BATCH):
            batch = ids[start : start + TOUCH_BATCH]
            looks = [("EXISTS", f"{self._prefix}:s:{session_id}") for session_id in batch]
            counts = await self._redis.pipeline(*looks)
            there.update(one for one, count in zip(batch, counts, strict=True) if count)
        return [session_id for session_id in ids if session_id not in there]

    def _remember(self, session: Session, activity: float, since: int) -> _Cached:
        """Use a record from here on, unless it changed again while it was on its way to us."""
        cached = _Cached(session, activity, trio.current_time())
        if self._changed.get(session.id, 0) > since:
            self._cache.pop(session.id, None)
            return cached
        self._cache[session.id] = cached
        self._cache.move_to_end(session.id)
        if len(self._cache) > CACHE_ENTRIES:
            self._cache.popitem(last=False)
        return cached

    def _forget(self, session_id: SessionId) -> SessionId:
        self._cache.pop(session_id, None)
        self._dirty.pop(session_id, None)
        return session_id

    def _look_again(self) -> None:
        self._cache.clear()
        self._missed = True

    def _changed_elsewhere(self, signal: Signal) -> None:
        session_id = SessionId(signal.session_id)
        self._cache.pop(session_id, None)
        self._note_change(session_id)

    def _note_change(self, session_id: SessionId) -> None:
        self._changes += 1
        self._changed[session_id] = self._changes
        self._changed.move_to_end(session_id)
        if len(self._changed) > CACHE_ENTRIES:
            self._changed.popitem(last=False)


def _session(record: bytes) -> Session:
    session = _decode.decode(record)
    return replace(session, capabilities=session.capabilities.copy())


def _ids(reply: list[bytes]) -> list[SessionId]:
    return [SessionId(raw.decode("utf-8")) for raw in reply]
