"""Which process goes on with a call, over all processes of a Redis."""

import math

import msgspec

from mcpd.sessions.record import SessionId
from mcpd.sessions.redis.connection import RedisConnection, Script
from mcpd.sessions.redis.liveness import Liveness
from mcpd.sessions.redis.lua import LIFE_OF
from mcpd.sessions.streams import KeptCall

# P, id, stream, me, ttl, sure? → the call; 'suspect': its owner may be gone; nil: nothing to do
CLAIM = Script(
    LIFE_OF
    + """
local P, me = ARGV[1], ARGV[4]
local m = P..':m:'..ARGV[2]..':'..ARGV[3]
local state = redis.call('HMGET', m, 'owner', 'call', 'finished')
if not state[1] or state[3] then return nil end
if state[1] ~= me and state[1] ~= '' then
  local life = life_of(P, state[1])
  if life == 'alive' then return nil end
  if life == 'suspect' and ARGV[6] ~= '1' then return 'suspect' end
end
redis.call('HSET', m, 'owner', me)
redis.call('EXPIRE', m, ARGV[5])
return state[2]
"""
)

# P, id, stream, me: no process owns the stream any more
DISOWN = Script(
    """
local m = ARGV[1]..':m:'..ARGV[2]..':'..ARGV[3]
local state = redis.call('HMGET', m, 'owner', 'finished')
if state[1] == ARGV[4] and not state[2] then redis.call('HSET', m, 'owner', '') end
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
        self, redis: RedisConnection, owner: str, liveness: Liveness, *, keep_running_s: float
    ) -> None:
        self._redis = redis
        self._prefix = redis.address.prefix
        self._owner = owner
        self._liveness = liveness
        self._running_ttl_s = math.ceil(keep_running_s)

    async def claim(self, session_id: SessionId, stream_id: str) -> KeptCall | None:
        if not self._liveness.can_tell:
            return None
        key = f"{session_id}:{stream_id}"
        found = await self._redis.run_script(
            CLAIM,
            self._prefix,
            session_id,
            stream_id,
            self._owner,
            self._running_ttl_s,
            int(self._liveness.is_sure(key)),
        )
        if found == b"suspect":
            self._liveness.suspect(key)
            return None
        self._liveness.clear(key)
        return None if found is None else _call.decode(found)

    async def disown(self, session_id: SessionId, stream_id: str) -> None:
        await self._redis.run_script(DISOWN, self._prefix, session_id, stream_id, self._owner)

    async def disown_all(self) -> None:
        await self._redis.call("DEL", f"{self._prefix}:p:{self._owner}")
