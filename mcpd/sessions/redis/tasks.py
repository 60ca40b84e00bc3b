"""Records of tasks in Redis, and commands to the processes that run them.

Keys behind the prefix: ``k:TASK`` the record, ``l:TASK`` commands, ``o:OWNER`` a sorted set of
the owner's tasks.
"""

import hashlib
import math
import time
from collections.abc import Callable

from mcpd.sessions.redis.connection import RedisConnection, Script
from mcpd.sessions.redis.liveness import Liveness

MAX_LISTED = 1000
COMMAND_TTL_S = 3600
_FINAL, _OPEN = b"1", b"0"  # before a record

# record's key, index, record, ttl, now, task → 1: kept; 0: there is a final one that differs
_PUT = Script(
    f"""
local there = redis.call('GET', ARGV[1])
if there and string.sub(there, 1, 1) == '1' then return there == ARGV[3] and 1 or 0 end
redis.call('SET', ARGV[1], ARGV[3], 'EX', ARGV[4])
redis.call('ZADD', ARGV[2], 'NX', ARGV[5], ARGV[6])
redis.call('ZREMRANGEBYRANK', ARGV[2], 0, -{MAX_LISTED + 1})
redis.call('EXPIRE', ARGV[2], ARGV[4], 'NX')
redis.call('EXPIRE', ARGV[2], ARGV[4], 'GT')
return 1
"""
)


class RedisTasks:
    """See TaskStore."""

    def __init__(
        self, redis: RedisConnection, liveness: Liveness, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._redis = redis
        self._liveness = liveness
        self._prefix = redis.address.prefix
        self._clock = clock

    async def put(
        self, task_id: str, owner: str, record: bytes, *, ttl_s: float, final: bool
    ) -> bool:
        kept = await self._redis.run_script(
            _PUT,
            f"{self._prefix}:k:{task_id}",
            self._index(owner),
            (_FINAL if final else _OPEN) + record,
            max(1, math.ceil(ttl_s)),
            self._clock(),
            task_id,
        )
        return bool(kept)

    async def get(self, task_id: str) -> bytes | None:
        stored = await self._redis.call("GET", f"{self._prefix}:k:{task_id}")
        return None if stored is None else _record(stored)

    async def of(self, owner: str) -> list[bytes]:
        ids = await self._redis.call("ZRANGE", self._index(owner), 0, -1)
        if not ids:
            return []
        keys = [f"{self._prefix}:k:{task_id.decode('ascii')}" for task_id in ids]
        records = await self._redis.call("MGET", *keys)
        expired = [task_id for task_id, stored in zip(ids, records, strict=True) if stored is None]
        if expired:
            self._redis.send("ZREM", self._index(owner), *expired)
        return [_record(stored) for stored in records if stored is not None]

    async def is_gone(self, process: str) -> bool:
        return await self._liveness.is_gone(process)

    async def send_command(self, task_id: str, command: bytes) -> None:
        key = self._commands_key(task_id)
        await self._redis.pipeline(("RPUSH", key, command), ("EXPIRE", key, COMMAND_TTL_S))

    async def commands(self, task_id: str) -> list[bytes]:
        stored = await self._redis.call("LRANGE", self._commands_key(task_id), 0, -1)
        return [bytes(command) for command in stored]

    async def drop_commands(self, task_id: str, count: int) -> None:
        await self._redis.call("LTRIM", self._commands_key(task_id), count, -1)

    def _commands_key(self, task_id: str) -> str:
        return f"{self._prefix}:l:{task_id}"

    def _index(self, owner: str) -> str:
        return f"{self._prefix}:o:{hashlib.sha256(owner.encode()).hexdigest()[:32]}"


def _record(stored: bytes) -> bytes:
    return bytes(stored[len(_OPEN) :])
