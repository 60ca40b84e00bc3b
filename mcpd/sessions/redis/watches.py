"""Which sessions are told of which changes, in Redis.

The topics of a session are what counts, and are kept with it. The sessions of a topic are an index
of those: a session is written into it behind its topics, and one that is taken out is looked at
again, so that two changes at the same time do not lose it.
"""

import hashlib
import math
from collections.abc import AsyncIterator, Sequence

from mcpd.sessions.bus import SignalKind
from mcpd.sessions.record import SessionId
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.lua import ADD, TELL, Run, Script
from mcpd.sessions.redis.session_index import ids
from mcpd.sessions.streams import SESSION_STREAM

WATCHERS = 500  # sessions that are told of a change in one round trip

# KEYS: record, topics; ARGV: topic… → the topics before
WATCH = Script(
    """
local before = redis.call('SMEMBERS', KEYS[2])
redis.call('DEL', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 1 and #ARGV > 0 then
  redis.call('SADD', KEYS[2], unpack(ARGV))
end
return before
"""
)

# KEYS: record, topics, own stream (2); ARGV: id, topic, data, ttl, process, channel
# → 1: it was reached; 0: it does not watch
ANNOUNCE = Script(
    ADD
    + TELL
    + f"""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if redis.call('SISMEMBER', KEYS[2], ARGV[2]) == 0 then return 0 end
local number = put(KEYS[3], KEYS[4], ARGV[3], ARGV[4])
if type(number) ~= 'string' then return number end
tell(ARGV[6], ARGV[5], '{SignalKind.GREW}', ARGV[1], '{SESSION_STREAM}')
return 1
"""
)


class RedisWatches:
    """See ChangeWatches.

    Args:
        owner: the name of this process.
        own_ttl_s: how long a session's own stream is kept without activity.
    """

    def __init__(self, redis: RedisLink, owner: str, *, own_ttl_s: float) -> None:
        self._redis = redis
        self._keys = redis.keys
        self._owner = owner
        self._own_ttl_s = math.ceil(own_ttl_s)

    async def watch(self, session_id: SessionId, topics: frozenset[str]) -> None:
        names = sorted(map(_topic, topics))
        before = await self._redis.run(
            WATCH,
            (self._keys.record(session_id), self._keys.topics(session_id)),
            *names,
            durable=True,
        )
        if names:
            added = (("SADD", self._keys.watchers(name), session_id) for name in names)
            await self._redis.pipeline(*added, durable=True)
        for name in {bytes(raw).decode() for raw in before} - set(names):
            await self._take_out(name, [session_id])

    async def announce(self, topic: str, data: bytes) -> list[SessionId]:
        name, reached = _topic(topic), []
        async for found in self._watchers(name):
            replies = await self._redis.pipeline(
                *(self._announcement(name, data, one) for one in found)
            )
            reached += [one for one, reply in zip(found, replies, strict=True) if reply]
            others = [one for one, reply in zip(found, replies, strict=True) if not reply]
            if others:
                await self._take_out(name, others)
        return reached

    def _announcement(self, name: str, data: bytes, session_id: SessionId) -> Run:
        keys = self._keys
        return Run(
            ANNOUNCE,
            (keys.record(session_id), keys.topics(session_id), *keys.stream(session_id)),
            (session_id, name, data, self._own_ttl_s, self._owner, keys.signals),
        )

    async def _take_out(self, name: str, sessions: Sequence[SessionId]) -> None:
        """These do not watch, unless they began to meanwhile."""
        watchers = self._keys.watchers(name)
        await self._redis.call("SREM", watchers, *sessions)
        there = await self._redis.pipeline(
            *(("EXISTS", self._keys.record(one)) for one in sessions),
            *(("SISMEMBER", self._keys.topics(one), name) for one in sessions),
        )
        watching = zip(sessions, there[: len(sessions)], there[len(sessions) :], strict=True)
        again = [one for one, lives, watches in watching if lives and watches]
        if again:
            await self._redis.call("SADD", watchers, *again)

    async def _watchers(self, topic: str) -> AsyncIterator[list[SessionId]]:
        """In pieces, each session once: an element may come twice from SSCAN."""
        seen: set[bytes] = set()
        cursor: bytes | int = 0
        while True:
            cursor, found = await self._redis.call(
                "SSCAN", self._keys.watchers(topic), cursor, "COUNT", WATCHERS
            )
            fresh = [raw for raw in found if raw not in seen]
            seen.update(fresh)
            if fresh:
                yield ids(fresh)
            if int(cursor) == 0:
                return


def _topic(topic: str) -> str:
    """A URI may be long; its hash is not."""
    return hashlib.sha256(topic.encode()).hexdigest()[:32]
