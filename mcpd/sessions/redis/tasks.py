"""Records of tasks in Redis, and commands to the processes that run them.

The list of an owner's tasks is in another slot than these, and is written behind the record: what
is missing in it is taken in with the next record, and what has no record any more is taken out.
"""

import hashlib
import math
import time
from collections.abc import Callable

from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.liveness import Liveness
from mcpd.sessions.redis.lua import Script

MAX_LISTED = 1000
COMMAND_TTL_S = 3600
_FINAL, _OPEN = b"1", b"0"  # before a record

# KEYS: record; ARGV: record, ttl → 1: kept; 0: there is a final one that differs
_PUT = Script(
    """
local there = redis.call('GET', KEYS[1])
if there and string.sub(there, 1, 1) == '1' then return there == ARGV[1] and 1 or 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
)

# KEYS: an owner's tasks; ARGV: task, now, ttl
_LIST = Script(
    f"""
redis.call('ZADD', KEYS[1], 'NX', ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -{MAX_LISTED + 1})
if redis.call('TTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
"""
)


class RedisTasks:
    """See TaskStore."""

    def __init__(
        self, redis: RedisLink, liveness: Liveness, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._redis = redis
        self._liveness = liveness
        self._keys = redis.keys
        self._clock = clock

    async def put(
        self, task_id: str, owner: str, record: bytes, *, ttl_s: float, final: bool
    ) -> bool:
        ttl = max(1, math.ceil(ttl_s))
        kept = await self._redis.run(
            _PUT,
            (self._keys.task(task_id),),
            (_FINAL if final else _OPEN) + record,
            ttl,
            durable=True,
        )
        if kept:
            index = self._index(owner)
            await self._redis.run(_LIST, (index,), task_id, self._clock(), ttl, durable=True)
        return bool(kept)

    async def get(self, task_id: str) -> bytes | None:
        stored = await self._redis.call("GET", self._keys.task(task_id))
        return None if stored is None else _record(stored)

    async def of(self, owner: str) -> list[bytes]:
        ids = await self._redis.call("ZRANGE", self._index(owner), 0, -1)
        if not ids:
            return []
        keys = [self._keys.task(task_id.decode("ascii")) for task_id in ids]
        records = await self._redis.pipeline(*(("GET", key) for key in keys))
        expired = [task_id for task_id, stored in zip(ids, records, strict=True) if stored is None]
        if expired:
            self._redis.send("ZREM", self._index(owner), *expired)
        return [_record(stored) for stored in records if stored is not None]

    async def is_gone(self, process: str) -> bool:
        return await self._liveness.is_gone(process)

    async def send_command(self, task_id: str, command: bytes) -> None:
        key = self._commands_key(task_id)
        await self._redis.pipeline(
            ("RPUSH", key, command), ("EXPIRE", key, COMMAND_TTL_S), durable=True
        )

    async def commands(self, task_id: str) -> list[bytes]:
        stored = await self._redis.call("LRANGE", self._commands_key(task_id), 0, -1)
        return [bytes(command) for command in stored]

    async def drop_commands(self, task_id: str, count: int) -> None:
        await self._redis.call("LTRIM", self._commands_key(task_id), count, -1)

    def _commands_key(self, task_id: str) -> str:
        return self._keys.commands(task_id)

    def _index(self, owner: str) -> str:
        return self._keys.tasks_of(hashlib.sha256(owner.encode()).hexdigest()[:32])


def _record(stored: bytes) -> bytes:
    return bytes(stored[len(_OPEN) :])
