"""Which reader of a stream is served, over all processes of a Redis."""

import math

from mcpd.sessions.bus import SignalKind
from mcpd.sessions.record import SessionId
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.liveness import Life, Liveness
from mcpd.sessions.redis.lua import TELL, Script
from mcpd.sessions.streams import SESSION_STREAM

# KEYS: what is known of the stream, what must be there for a lease; ARGV: id, stream, process,
# reader, force?, ttl of the own stream (or 0), channel, a holder that is gone
# → {1, how far the last one that left had got}: it is served; {0, holder, its process}
ACQUIRE = Script(
    TELL
    + f"""
local m, process, me = KEYS[1], ARGV[3], ARGV[4]
if redis.call('EXISTS', KEYS[2]) == 0 then return {{1, '0'}} end
local state = redis.call('HMGET', m, 'follower', 'follows_at', 'reached')
local holder = state[1] or ''
if holder ~= '' and holder ~= me and ARGV[5] ~= '1' and holder ~= ARGV[8] then
  return {{0, holder, state[2] or ''}}
end
redis.call('HSET', m, 'follower', me, 'follows_at', process)
if ARGV[6] ~= '0' then redis.call('EXPIRE', m, ARGV[6]) end
if holder ~= me then tell(ARGV[7], process, '{SignalKind.READ_ELSEWHERE}', ARGV[1], ARGV[2]) end
return {{1, state[3] or '0'}}
"""
)

# KEYS: what is known of the stream; ARGV: id, stream, process, reader, reached, channel
RELEASE = Script(
    TELL
    + f"""
local state = redis.call('HMGET', KEYS[1], 'follower', 'reached')
if state[1] ~= ARGV[4] then return end
local reached = ARGV[5]
if tonumber(state[2] or '0') > tonumber(reached) then reached = state[2] end
redis.call('HSET', KEYS[1], 'follower', '', 'reached', reached)
tell(ARGV[6], ARGV[3], '{SignalKind.READER_LEFT}', ARGV[1], ARGV[2])
"""
)


class RedisLease:
    """See DeliveryLease.

    Args:
        owner: the name of this process.
        own_ttl_s: how long a session's own stream is kept without activity.
    """

    def __init__(
        self, redis: RedisLink, owner: str, liveness: Liveness, *, own_ttl_s: float
    ) -> None:
        self._redis = redis
        self._keys = redis.keys
        self._owner = owner
        self._liveness = liveness
        self._own_ttl_s = math.ceil(own_ttl_s)

    async def acquire(
        self, session_id: SessionId, stream_id: str, reader: str, *, force: bool
    ) -> int | None:
        served, told, *process = await self._try(session_id, stream_id, reader, force=force)
        if not served:
            if await self._liveness.life_of(bytes(process[0]).decode()) is Life.ALIVE:
                return None
            served, told, *_ = await self._try(
                session_id, stream_id, reader, force=False, gone=bytes(told)
            )
        return int(told) if served else None

    async def _try(
        self,
        session_id: SessionId,
        stream_id: str,
        reader: str,
        *,
        force: bool,
        gone: bytes = b"",
    ) -> list[bytes]:
        known = self._keys.stream(session_id, stream_id)[0]
        is_own = stream_id == SESSION_STREAM
        found: list[bytes] = await self._redis.run(
            ACQUIRE,
            (known, self._keys.record(session_id) if is_own else known),
            session_id,
            stream_id,
            self._owner,
            reader,
            int(force),
            self._own_ttl_s if is_own else 0,
            self._keys.signals,
            gone,
        )
        return found

    async def release(
        self, session_id: SessionId, stream_id: str, reader: str, reached: int
    ) -> None:
        await self._redis.run(
            RELEASE,
            (self._keys.stream(session_id, stream_id)[0],),
            session_id,
            stream_id,
            self._owner,
            reader,
            reached,
            self._keys.signals,
        )
