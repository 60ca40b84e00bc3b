"""Answers of clients to questions of the server, in Redis."""

import math

from mcpd.sessions.bus import SignalKind
from mcpd.sessions.record import SessionId
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.lua import TELL, Script
from mcpd.sessions.stream_ids import asker_of

# KEYS: record, questions; ARGV: question, ttl
EXPECT = Script(
    """
if redis.call('EXISTS', KEYS[1]) == 0 then return end
redis.call('HSETNX', KEYS[2], ARGV[1], '')
redis.call('EXPIRE', KEYS[2], ARGV[2])
"""
)

# KEYS: record, questions; ARGV: id, question, answer, process, channel → 1: it was asked
DELIVER = Script(
    TELL
    + f"""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local there = redis.call('HGET', KEYS[2], ARGV[2])
if not there then return 0 end
if there == '' then
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
  tell(ARGV[5], ARGV[4], '{SignalKind.ANSWERED}', ARGV[1], ARGV[2])
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

    def __init__(self, redis: RedisLink, owner: str, *, keep_running_s: float) -> None:
        self._redis = redis
        self._keys = redis.keys
        self._owner = owner
        self._running_ttl_s = math.ceil(keep_running_s)

    async def expect(self, session_id: SessionId, asker: str, request_id: str) -> None:
        await self._redis.run(
            EXPECT,
            (self._keys.record(session_id), self._keys.questions(session_id, asker)),
            request_id,
            self._running_ttl_s,
            durable=True,
        )

    async def deliver(self, session_id: SessionId, request_id: str, reply: bytes) -> bool:
        asker = asker_of(request_id)
        taken = await self._redis.run(
            DELIVER,
            (self._keys.record(session_id), self._keys.questions(session_id, asker)),
            session_id,
            request_id,
            reply,
            self._owner,
            self._keys.signals,
            durable=True,
        )
        return bool(taken)

    async def find(self, session_id: SessionId, request_id: str) -> bytes | None:
        key = self._keys.questions(session_id, asker_of(request_id))
        found = await self._redis.call("HGET", key, request_id)
        return bytes(found) if found else None

    async def forget(self, session_id: SessionId, asker: str) -> None:
        await self._redis.call("DEL", self._keys.questions(session_id, asker))
