"""From the layout of keys that came first, in which those of a session shared no slot: sessions,
what they watch, and tasks move over. Streams that were under way stay behind and expire.

Each step can be repeated, and several processes may do it at the same time.
"""

import logging
from collections.abc import Sequence

import msgspec

from mcpd.sessions.record import SessionId
from mcpd.sessions.redis.address import Kind
from mcpd.sessions.redis.keys import Keys
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.record import decode, pack
from mcpd.sessions.redis.session_index import SessionIndex, ids

LAYOUT = b"2"
BATCH = 500  # keys in one round trip

log = logging.getLogger("mcpd.redis")


async def migrate(redis: RedisLink, index: SessionIndex) -> None:
    """Move what is there in the old layout; does nothing where that was done.

    Raises:
        StoreError: Redis went away; what was moved stays moved.
    """
    keys = redis.keys
    if await redis.call("GET", keys.layout) == LAYOUT:
        return
    if redis.address.kind is not Kind.CLUSTER:  # there the old one never worked
        moved = 0
        while found := ids(await redis.call("ZRANGE", f"{keys.prefix}:activity", 0, BATCH - 1)):
            moved += await _move_sessions(redis, index, found)
        await _move_tasks(redis, keys)
        if moved:
            log.info("sessions moved to the new layout of keys: %d", moved)
    await redis.pipeline(("SET", keys.layout, LAYOUT), durable=True)


async def _move_sessions(redis: RedisLink, index: SessionIndex, found: Sequence[SessionId]) -> int:
    keys, p = redis.keys, redis.keys.prefix
    wanted = [command for one in found for command in (
        ("GET", f"{p}:s:{one}"), ("TTL", f"{p}:s:{one}"),
        ("ZSCORE", f"{p}:activity", one), ("SMEMBERS", f"{p}:t:{one}"),
    )]  # fmt: skip
    told = await redis.pipeline(*wanted)
    moved = 0
    for place, one in enumerate(found):
        record, ttl, activity, topics = told[4 * place : 4 * place + 4]
        try:
            session = decode(record) if record is not None and int(ttl) > 0 else None
        except (msgspec.DecodeError, msgspec.ValidationError):
            session = None  # another version's
        if session is not None:
            at = float(activity)
            await redis.pipeline(
                ("SET", keys.record(one), pack(session, at), "EX", int(ttl), "NX"),
                index.addition(session, at, 2**31),
                *([("SADD", keys.topics(one), *topics)] if topics else []),
            )
            moved += 1
    gone = [f"{p}:{kind}:{one}" for one in found for kind in ("s", "t", "i", "f", "u")]
    await redis.pipeline(
        ("DEL", *gone),
        *(("ZREM", f"{p}:{name}", *found) for name in ("ids", "unbound", "activity")),
    )
    return moved


async def _move_tasks(redis: RedisLink, keys: Keys) -> None:
    cursor: bytes | int = 0
    while True:
        cursor, found = await redis.call(
            "SCAN", cursor, "MATCH", f"{_literal(keys.prefix)}:[kl]:*", "COUNT", BATCH
        )
        names = [bytes(raw).decode() for raw in found]
        for name in names:
            kind, task_id = name[len(keys.prefix) + 1], name[len(keys.prefix) + 3 :]
            if not task_id.startswith("{"):
                new = keys.task(task_id) if kind == "k" else keys.commands(task_id)
                await redis.call("COPY", name, new)
                await redis.call("DEL", name)
        if int(cursor) == 0:
            return


def _literal(text: str) -> str:
    """For a pattern of Redis."""
    return "".join(f"\\{c}" if c in "*?[]\\^-" else c for c in text)
