"""Answers of clients to questions of the server, in Redis."""

import math

from mcpd.sessions.bus import SignalKind
from mcpd.sessions.record import SessionId
from mcpd.sessions.redis.connection import RedisConnection, Script
from mcpd.sessions.redis.lua import TELL
from mcpd.sessions.stream_ids import asker_of

# P, id, asker, question, ttl
EXPECT = Script(
    """
local P, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', P..':s:'..id) == 0 then return end
local q = P..':q:'..id..':'..ARGV[3]
redis.call('HSETNX', q, ARGV[4], '')
redis.call('EXPIRE', q, ARGV[5])
"""
)

# P, id, asker, question, answer, process → 1: it was asked
DELIVER = Script(
    TELL
    + f"""
local P, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', P..':s:'..id) == 0 then return 0 end
local q = P..':q:'..id..':'..ARGV[3]
local there = redis.call('HGET', q, ARGV[4])
if not there then return 0 end
if there == '' then
  redis.call('HSET', q, ARGV[4], ARGV[5])
  tell(P, ARGV[6], '{SignalKind.ANSWERED}', id, ARGV[4])
end
return 1
"""
)


class RedisAnswers:
    """See AnswerInbox.

    Args:
        owner: the name of this process.
        keep_running_s: how long a question waits for its answer at most.
    """

    def __init__(self, redis: RedisConnection, owner: str, *, keep_running_s: float) -> None:
        self._redis = redis
        self._prefix = redis.address.prefix
        self._owner = owner
        self._running_ttl_s = math.ceil(keep_running_s)

    async def expect(self, session_id: SessionId, asker: str, request_id: str) -> None:
        await self._redis.run_script(
            EXPECT, self._prefix, session_id, asker, request_id, self._running_ttl_s
        )

    async def deliver(self, session_id: SessionId, request_id: str, reply: bytes) -> bool:
        asker = asker_of(request_id)
        taken = await self._redis.run_script(
            DELIVER, self._prefix, session_id, asker, request_id, reply, self._owner
        )
        return bool(taken)

    async def find(self, session_id: SessionId, request_id: str) -> bytes | None:
        key = f"{self._prefix}:q:{session_id}:{asker_of(request_id)}"
        found = await self._redis.call("HGET", key, request_id)
        return bytes(found) if found else None

    async def forget(self, session_id: SessionId, asker: str) -> None:
        await self._redis.call("DEL", f"{self._prefix}:q:{session_id}:{asker}")
