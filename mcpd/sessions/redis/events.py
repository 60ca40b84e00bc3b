"""Streams in Redis: the entry ids of its streams are the numbers of the messages."""

import math
import time
from collections.abc import Callable

import msgspec

from mcpd.errors import SessionNotFound
from mcpd.sessions.record import SessionId
from mcpd.sessions.redis import event_scripts as scripts
from mcpd.sessions.redis.connection import RedisConnection
from mcpd.sessions.streams import (
    KEEP_FINISHED_S,
    MAX_BYTES,
    MAX_EVENTS,
    SESSION_STREAM,
    Event,
    KeptCall,
    Page,
)

READ_EVENTS = 100  # in one page


class RedisEvents:
    """See EventLog.

    Args:
        owner: the name of this process, different at every start.
        keep_running_s: how long an unfinished stream is kept.
        own_ttl_s: how long a session's own stream is kept without activity.
    """

    def __init__(
        self,
        redis: RedisConnection,
        owner: str,
        *,
        keep_running_s: float,
        own_ttl_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._prefix = redis.address.prefix
        self._owner = owner
        self._running_ttl_s = math.ceil(keep_running_s)
        self._own_ttl_s = math.ceil(own_ttl_s)
        self._clock = clock

    async def begin(self, call: KeptCall) -> None:
        begun = await self._redis.run_script(
            scripts.BEGIN,
            self._prefix,
            call.session_id,
            call.stream_id,
            msgspec.json.encode(call),
            self._owner,
            self._running_ttl_s,
            self._clock(),
        )
        if not begun:
            raise SessionNotFound("The session ended.")

    async def append(
        self,
        session_id: SessionId,
        stream_id: str,
        number: int,
        data: bytes | None,
        *,
        last: bool,
        unread: bool = False,
    ) -> bool:
        kept = await self._redis.run_script(
            scripts.APPEND,
            self._prefix,
            session_id,
            stream_id,
            self._owner,
            number,
            data or b"",
            int(data is not None),
            int(last),
            self._running_ttl_s,
            int(KEEP_FINISHED_S),
            self._clock(),
            int(unread),
        )
        return bool(kept)

    async def mark_unread(self, session_id: SessionId, stream_id: str) -> None:
        await self._redis.run_script(
            scripts.MARK_UNREAD, self._prefix, session_id, stream_id, int(KEEP_FINISHED_S)
        )

    async def read(self, session_id: SessionId, stream_id: str, after: int) -> Page | None:
        key = f"{session_id}:{stream_id}"
        state, entries = await self._redis.pipeline(  # in this order: what ends is read whole
            ("HMGET", f"{self._prefix}:m:{key}", "last", "finished"),
            ("XRANGE", f"{self._prefix}:e:{key}", f"(0-{after}", "+", "COUNT", READ_EVENTS),
        )
        if state[0] is None and stream_id != SESSION_STREAM:
            return None
        events = [_event(entry) for entry in entries or ()]
        whole = not events or events[-1].number == int(state[0] or 0)
        return Page(events, finished=state[1] is not None and whole)

    async def newest(self, session_id: SessionId) -> int:
        newest = await self._redis.call("XREVRANGE", self._own(session_id), "+", "-", "COUNT", 1)
        return _event(newest[0]).number if newest else 0

    async def put(
        self, session_id: SessionId, data: bytes, *, drop_oldest: bool = True
    ) -> int | None:
        added = await self._redis.run_script(
            scripts.PUT,
            self._prefix,
            session_id,
            data,
            int(drop_oldest),
            self._own_ttl_s,
            self._owner,
        )
        if added is None:
            return None
        return 0 if added == 0 else _number(added)

    async def has_room(self, session_id: SessionId) -> bool:
        events, size = await self._redis.pipeline(
            ("XLEN", self._own(session_id)),
            ("HGET", f"{self._prefix}:m:{session_id}:{SESSION_STREAM}", "bytes"),
        )
        return int(events) < MAX_EVENTS and int(size or 0) < MAX_BYTES

    async def drop_through(self, session_id: SessionId, through: int) -> None:
        await self._redis.run_script(scripts.DROP_THROUGH, self._prefix, session_id, through)

    async def sweep(self, now: float) -> None:
        """Redis does that."""

    def forget(self, session_id: SessionId) -> None:
        """Nothing is held here."""

    def _own(self, session_id: SessionId) -> str:
        return f"{self._prefix}:e:{session_id}:{SESSION_STREAM}"


def _number(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[2])


def _event(entry: list[object]) -> Event:
    entry_id, fields = entry
    if not isinstance(entry_id, bytes):
        raise TypeError("an entry of a stream begins with its id")
    return Event(_number(entry_id), _data(fields))


def _data(fields: object) -> bytes:
    """RESP3 has the fields of an entry as a list of names and values."""
    if isinstance(fields, list) and isinstance(fields[1], bytes):
        return fields[1]
    raise TypeError("an entry of a stream has one field")
