"""Records of tasks in Redis, and letters between the processes that run them.

Keys behind the prefix: ``k:TASK`` the record, ``l:TASK`` letters, ``o:OWNER`` a sorted set of
the owner's tasks.
"""

import hashlib
import math
import time
from collections.abc import Callable

from mcpd.sessions.redis.link import Link

MAX_LISTED = 1000
LETTER_TTL_S = 3600


class RedisShelf:
    """See TaskShelf."""

    def __init__(self, link: Link, *, clock: Callable[[], float] = time.time) -> None:
        self._link = link
        self._prefix = link.address.prefix
        self._clock = clock

    async def put(self, task_id: str, owner: str, record: bytes, *, ttl_s: float) -> None:
        index, ttl = self._index(owner), max(1, math.ceil(ttl_s))
        await self._link.pipeline(
            ("SET", f"{self._prefix}:k:{task_id}", record, "EX", ttl),
            ("ZADD", index, "NX", self._clock(), task_id),
            ("ZREMRANGEBYRANK", index, 0, -MAX_LISTED - 1),
            ("EXPIRE", index, ttl, "NX"),
            ("EXPIRE", index, ttl, "GT"),
        )

    async def get(self, task_id: str) -> bytes | None:
        found = await self._link.call("GET", f"{self._prefix}:k:{task_id}")
        return None if found is None else bytes(found)

    async def of(self, owner: str) -> list[bytes]:
        ids = await self._link.call("ZRANGE", self._index(owner), 0, -1)
        if not ids:
            return []
        keys = [f"{self._prefix}:k:{task_id.decode('ascii')}" for task_id in ids]
        records = await self._link.call("MGET", *keys)
        expired = [task_id for task_id, found in zip(ids, records, strict=True) if found is None]
        if expired:
            self._link.send("ZREM", self._index(owner), *expired)
        return [bytes(record) for record in records if record is not None]

    async def is_gone(self, process: str) -> bool:
        return not await self._link.call("EXISTS", f"{self._prefix}:p:{process}")

    async def post(self, task_id: str, letter: bytes) -> None:
        key = f"{self._prefix}:l:{task_id}"
        await self._link.pipeline(("RPUSH", key, letter), ("EXPIRE", key, LETTER_TTL_S))

    async def letters(self, task_id: str) -> list[bytes]:
        key = f"{self._prefix}:l:{task_id}"
        found, _ = await self._link.pipeline(("LRANGE", key, 0, -1), ("DEL", key))
        return [bytes(letter) for letter in found]

    def _index(self, owner: str) -> str:
        return f"{self._prefix}:o:{hashlib.sha256(owner.encode()).hexdigest()[:32]}"
