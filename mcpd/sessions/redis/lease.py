"""Which reader of a stream is served, over all processes of a Redis."""

import math

from mcpd.sessions.bus import SignalKind
from mcpd.sessions.record import SessionId
from mcpd.sessions.redis.connection import RedisConnection, Script
from mcpd.sessions.redis.lua import LIFE_OF, TELL
from mcpd.sessions.streams import SESSION_STREAM

# P, id, stream, process, follower, force?, ttl of the own stream → 1: it is served, and how far
# the last one that left had got
ACQUIRE = Script(
    LIFE_OF
    + TELL
    + f"""
local P, id, stream, process, me = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local m = P..':m:'..id..':'..stream
local own = stream == '{SESSION_STREAM}'
local known = redis.call('EXISTS', own and P..':s:'..id or m)
if known == 0 then return {{1, '0'}} end
local state = redis.call('HMGET', m, 'follower', 'follows_at', 'reached')
local holder = state[1] or ''
if holder ~= '' and holder ~= me and ARGV[6] ~= '1' then
  if life_of(P, state[2]) == 'alive' then return {{0, '0'}} end
end
redis.call('HSET', m, 'follower', me, 'follows_at', process)
if own then redis.call('EXPIRE', m, ARGV[7]) end
if holder ~= me then tell(P, process, '{SignalKind.READ_ELSEWHERE}', id, stream) end
return {{1, state[3] or '0'}}
"""
)

# P, id, stream, process, follower, reached
RELEASE = Script(
    TELL
    + f"""
local P, id, stream = ARGV[1], ARGV[2], ARGV[3]
local m = P..':m:'..id..':'..stream
local state = redis.call('HMGET', m, 'follower', 'reached')
if state[1] ~= ARGV[5] then return end
local reached = ARGV[6]
if tonumber(state[2] or '0') > tonumber(reached) then reached = state[2] end
redis.call('HSET', m, 'follower', '', 'reached', reached)
tell(P, ARGV[4], '{SignalKind.READER_LEFT}', id, stream)
"""
)


class RedisLease:
    """See DeliveryLease.

    Args:
        owner: the name of this process.
        own_ttl_s: how long a session's own stream is kept without activity.
    """

    def __init__(self, redis: RedisConnection, owner: str, *, own_ttl_s: float) -> None:
        self._redis = redis
        self._prefix = redis.address.prefix
        self._owner = owner
        self._own_ttl_s = math.ceil(own_ttl_s)

    async def acquire(
        self, session_id: SessionId, stream_id: str, reader: str, *, force: bool
    ) -> int | None:
        served, reached = await self._redis.run_script(
            ACQUIRE,
            self._prefix,
            session_id,
            stream_id,
            self._owner,
            reader,
            int(force),
            self._own_ttl_s,
        )
        return int(reached) if served else None

    async def release(
        self, session_id: SessionId, stream_id: str, reader: str, reached: int
    ) -> None:
        await self._redis.run_script(
            RELEASE, self._prefix, session_id, stream_id, self._owner, reader, reached
        )
