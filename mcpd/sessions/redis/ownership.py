"""Which process goes on with a call, over all processes of a Redis."""

import math

import msgspec

from mcpd.sessions.record import SessionId
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.liveness import Life, Liveness
from mcpd.sessions.redis.lua import Script
from mcpd.sessions.streams import KeptCall

# KEYS: what is known of the stream; ARGV: me, an owner that is gone, ttl → the call; nil: it has
# another owner now, or is finished
CLAIM = Script(
    """
local state = redis.call('HMGET', KEYS[1], 'owner', 'call', 'finished')
if not state[1] or state[3] then return nil end
if state[1] ~= ARGV[1] and state[1] ~= '' and state[1] ~= ARGV[2] then return nil end
redis.call('HSET', KEYS[1], 'owner', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return state[2]
"""
)

# KEYS: what is known of the stream; ARGV: me. No process owns the stream any more
DISOWN = Script(
    """
local state = redis.call('HMGET', KEYS[1], 'owner', 'finished')
if state[1] == ARGV[1] and not state[2] then redis.call('HSET', KEYS[1], 'owner', '') end
"""
)


_call = msgspec.json.Decoder(KeptCall)


class RedisOwnership:
    """See CallOwnership.

    Args:
        owner: the name of this process, different at every start.
        keep_running_s: how long an unfinished stream is kept.
    """

    def __init__(
        self, redis: RedisLink, owner: str, liveness: Liveness, *, keep_running_s: float
    ) -> None:
        self._redis = redis
        self._keys = redis.keys
        self._owner = owner
        self._liveness = liveness
        self._running_ttl_s = math.ceil(keep_running_s)

    async def claim(self, session_id: SessionId, stream_id: str) -> KeptCall | None:
        if not self._liveness.can_tell:
            return None
        key = self._keys.stream(session_id, stream_id)[0]
        owner, finished = await self._redis.call("HMGET", key, "owner", "finished")
        if owner is None or finished is not None:
            return None
        if owner not in (b"", self._owner.encode()) and not await self._is_gone(
            owner.decode(), name=key
        ):
            return None
        found = await self._redis.run(
            CLAIM, (key,), self._owner, owner, self._running_ttl_s, durable=True
        )
        return None if found is None else _call.decode(found)

    async def _is_gone(self, owner: str, *, name: str) -> bool:
        life = await self._liveness.life_of(owner)
        if life is Life.SUSPECT:
            sure = self._liveness.is_sure(name)
            self._liveness.suspect(name)
            return sure
        self._liveness.clear(name)
        return life is Life.GONE

    async def disown(self, session_id: SessionId, stream_id: str) -> None:
        key = self._keys.stream(session_id, stream_id)[0]
        await self._redis.run(DISOWN, (key,), self._owner)

    async def disown_all(self) -> None:
        await self._redis.call("DEL", self._keys.process(self._owner))
