"""The index of all sessions: by activity, by id, and those without a principal.

It spans sessions, so it is written in a step of its own: what it says is checked where it is used,
and a sweep looks through a part of it for what is not true any more.
"""

from collections.abc import Iterable, Sequence

from mcpd.sessions.record import Session, SessionId
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.lua import Run
from mcpd.sessions.redis.session_scripts import INDEX
from mcpd.sessions.store import Counts

REPAIR_BATCH = 100  # entries that one sweep looks through, in a few milliseconds


class SessionIndex:
    """What is known of all sessions together."""

    def __init__(self, redis: RedisLink) -> None:
        self._redis = redis
        self._keys = redis.keys
        self._activity, self._ids, self._unbound = redis.keys.index
        self._cursors: dict[str, bytes | int] = {}

    def addition(self, session: Session, activity: float, max_unbound: int) -> Run:
        """The command that takes a session in; it replies which ones without a principal are too
        many.
        """
        return Run(
            INDEX,
            self._keys.index,
            (session.id, activity, session.created_at, int(session.subject is None), max_unbound),
        )

    async def touch(self, activities: Sequence[tuple[SessionId, float]]) -> None:
        """Sessions that are there were used; also takes in what an addition missed."""
        if activities:
            scores = [value for one, at in activities for value in (at, one)]
            ids = [value for one, _ in activities for value in (0, one)]
            await self._redis.pipeline(
                ("ZADD", self._activity, "GT", *scores), ("ZADD", self._ids, *ids)
            )

    async def remove(self, ids: Iterable[SessionId]) -> None:
        """Sessions that are gone."""
        if gone := tuple(ids):
            await self._redis.pipeline(*(("ZREM", key, *gone) for key in self._keys.index))

    def has_principal(self, session_id: SessionId) -> None:
        """It is one of those without no more. If this gets lost, ``repair`` does it."""
        self._redis.send("ZREM", self._unbound, session_id)

    async def idle(self, cutoff: float, limit: int) -> list[SessionId]:
        """Those whose last activity may be not later than ``cutoff``."""
        return ids(
            await self._redis.call(
                "ZRANGEBYSCORE", self._activity, "-inf", cutoff, "LIMIT", 0, limit
            )
        )

    async def page(self, after: SessionId | None, limit: int) -> list[SessionId]:
        """In the order of ids, behind ``after``."""
        start = f"({after}" if after else "-"
        return ids(await self._redis.call("ZRANGEBYLEX", self._ids, start, "+", "LIMIT", 0, limit))

    async def count(self) -> Counts:
        """How many there are."""
        total, unbound = await self._redis.pipeline(
            ("ZCARD", self._activity), ("ZCARD", self._unbound)
        )
        return Counts(int(total), int(unbound))

    async def look(self) -> None:
        """Whether it can be read; costs the same however much is in it."""
        await self._redis.call("EXISTS", self._activity)

    async def repair(self) -> None:
        """Look through a part of the index, another one each time: a session that is gone does not
        stay in it, nor one that has a principal among those without.
        """
        for key in (self._ids, self._unbound):
            entries = await self._next_part(key)
            if not entries:
                continue
            heads = await self._redis.pipeline(
                *(("GETRANGE", self._keys.record(one), 0, 0) for one in entries)
            )
            gone = [one for one, head in zip(entries, heads, strict=True) if not head]
            await self.remove(gone)
            if key == self._unbound:
                for one, head in zip(entries, heads, strict=True):
                    if head == b"1":
                        self.has_principal(one)

    async def _next_part(self, key: str) -> list[SessionId]:
        cursor = self._cursors.get(key, 0)
        cursor, flat = await self._redis.call("ZSCAN", key, cursor, "COUNT", REPAIR_BATCH)
        self._cursors[key] = cursor
        found = [entry[0] for entry in flat] if flat and isinstance(flat[0], list) else flat[::2]
        return ids(found)


def ids(reply: Sequence[bytes]) -> list[SessionId]:
    """The ids in a reply."""
    return [SessionId(bytes(raw).decode("utf-8")) for raw in reply]
