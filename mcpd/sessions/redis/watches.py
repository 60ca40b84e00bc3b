"""Which sessions are told of which changes, in Redis."""

import hashlib
import math
from collections.abc import AsyncIterator

from mcpd.sessions.bus import SignalKind
from mcpd.sessions.record import SessionId
from mcpd.sessions.redis.connection import RedisConnection, Script
from mcpd.sessions.redis.lua import ADD, TELL
from mcpd.sessions.streams import SESSION_STREAM

WATCHERS = 500  # sessions that one command tells of a change

# P, id, topic…
WATCH = Script(
    """
local P, id = ARGV[1], ARGV[2]
for _, topic in ipairs(redis.call('SMEMBERS', P..':t:'..id)) do
  redis.call('SREM', P..':w:'..topic, id)
end
redis.call('DEL', P..':t:'..id)
if redis.call('EXISTS', P..':s:'..id) == 0 then return end
for place = 3, #ARGV do
  redis.call('SADD', P..':t:'..id, ARGV[place])
  redis.call('SADD', P..':w:'..ARGV[place], id)
end
"""
)

# P, topic, data, ttl, process, id… → ids that were reached
ANNOUNCE = Script(
    ADD
    + TELL
    + f"""
local P = ARGV[1]
local reached = {{}}
for place = 6, #ARGV do
  local id = ARGV[place]
  if redis.call('EXISTS', P..':s:'..id) == 1 then
    put(P, id, ARGV[3], ARGV[4])
    tell(P, ARGV[5], '{SignalKind.GREW}', id, '{SESSION_STREAM}')
    reached[#reached + 1] = id
  else
    redis.call('SREM', P..':w:'..ARGV[2], id)
  end
end
return reached
"""
)


class RedisWatches:
    """See ChangeWatches.

    Args:
        owner: the name of this process.
        own_ttl_s: how long a session's own stream is kept without activity.
    """

    def __init__(self, redis: RedisConnection, owner: str, *, own_ttl_s: float) -> None:
        self._redis = redis
        self._prefix = redis.address.prefix
        self._owner = owner
        self._own_ttl_s = math.ceil(own_ttl_s)

    async def watch(self, session_id: SessionId, topics: frozenset[str]) -> None:
        await self._redis.run_script(WATCH, self._prefix, session_id, *sorted(map(_topic, topics)))

    async def announce(self, topic: str, data: bytes) -> list[SessionId]:
        name, reached = _topic(topic), []
        async for ids in self._watchers(name):
            found = await self._redis.run_script(
                ANNOUNCE, self._prefix, name, data, self._own_ttl_s, self._owner, *ids
            )
            reached += [SessionId(raw.decode("ascii")) for raw in found]
        return reached

    async def _watchers(self, topic: str) -> AsyncIterator[list[bytes]]:
        """In pieces, each session once: an element may come twice from SSCAN."""
        seen: set[bytes] = set()
        cursor: bytes | int = 0
        while True:
            cursor, found = await self._redis.call(
                "SSCAN", f"{self._prefix}:w:{topic}", cursor, "COUNT", WATCHERS
            )
            fresh = [session_id for session_id in found if session_id not in seen]
            seen.update(fresh)
            if fresh:
                yield fresh
            if int(cursor) == 0:
                return


def _topic(topic: str) -> str:
    """A URI may be long; its hash is not."""
    return hashlib.sha256(topic.encode()).hexdigest()[:32]
