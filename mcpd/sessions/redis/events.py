"""Streams in Redis: the entry ids of its streams are the numbers of the messages."""

import math
import time
from collections.abc import Callable, Sequence

import msgspec

from mcpd.errors import SessionNotFound
from mcpd.sessions.record import SessionId
from mcpd.sessions.redis import event_scripts as scripts
from mcpd.sessions.redis.link import RedisLink
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
        redis: RedisLink,
        owner: str,
        *,
        keep_running_s: float,
        own_ttl_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._keys = redis.keys
        self._owner = owner
        self._running_ttl_s = math.ceil(keep_running_s)
        self._own_ttl_s = math.ceil(own_ttl_s)
        self._clock = clock

    async def begin(
        self,
        call: KeptCall,
        messages: Sequence[bytes] = (),
        *,
        last: bool = False,
        unread: bool = False,
    ) -> None:
        keys, key = self._keys, (call.session_id, call.stream_id)
        begun = await self._redis.run(
            scripts.BEGIN,
            (
                keys.record(call.session_id),
                keys.stream(call.session_id, call.stream_id)[0],
                keys.unfinished(call.session_id),
            ),
            call.stream_id,
            msgspec.json.encode(call),
            self._owner,
            self._running_ttl_s,
            self._clock(),
            durable=True,
        )
        if not begun or (
            (messages or last)
            and not await self.append(*key, 1, messages, last=last, unread=unread)
        ):
            raise SessionNotFound("The session ended.")

    async def append(
        self,
        session_id: SessionId,
        stream_id: str,
        number: int,
        messages: Sequence[bytes],
        *,
        last: bool,
        unread: bool = False,
    ) -> bool:
        keys = self._keys
        forgotten = await self._redis.run(
            scripts.APPEND,
            (
                *keys.stream(session_id, stream_id),
                keys.unfinished(session_id),
                *keys.finished(session_id),
            ),
            stream_id,
            self._owner,
            number,
            int(last),
            self._running_ttl_s,
            int(KEEP_FINISHED_S),
            self._clock(),
            int(unread),
            *messages,
            durable=True,
        )
        for old in forgotten or ():  # they expire if this is not carried out
            self._redis.send("DEL", *keys.stream(session_id, bytes(old).decode()))
        return forgotten is not None

    async def mark_unread(self, session_id: SessionId, stream_id: str) -> None:
        await self._redis.run(
            scripts.MARK_UNREAD,
            self._keys.finished(session_id),
            stream_id,
            int(KEEP_FINISHED_S),
        )

    async def read(self, session_id: SessionId, stream_id: str, after: int) -> Page | None:
        known, messages = self._keys.stream(session_id, stream_id)
        state, entries = await self._redis.pipeline(  # in this order: what ends is read whole
            ("HMGET", known, "last", "finished"),
            ("XRANGE", messages, f"(0-{after}", "+", "COUNT", READ_EVENTS),
        )
        if state[0] is None and stream_id != SESSION_STREAM:
            return None
        events = [_event(entry) for entry in entries or ()]
        whole = not events or events[-1].number == int(state[0] or 0)
        return Page(events, finished=state[1] is not None and whole)

    async def newest(self, session_id: SessionId) -> int:
        messages = self._keys.stream(session_id)[1]
        newest = await self._redis.call("XREVRANGE", messages, "+", "-", "COUNT", 1)
        return _event(newest[0]).number if newest else 0

    async def put(
        self, session_id: SessionId, data: bytes, *, drop_oldest: bool = True
    ) -> int | None:
        added = await self._redis.run(
            scripts.PUT,
            (self._keys.record(session_id), *self._keys.stream(session_id)),
            session_id,
            data,
            int(drop_oldest),
            self._own_ttl_s,
            self._owner,
            self._keys.signals,
            durable=True,
        )
        if added is None:
            return None
        return 0 if added == 0 else _number(added)

    async def has_room(self, session_id: SessionId) -> bool:
        known, messages = self._keys.stream(session_id)
        events, size = await self._redis.pipeline(("XLEN", messages), ("HGET", known, "bytes"))
        return int(events) < MAX_EVENTS and int(size or 0) < MAX_BYTES

    async def drop_through(self, session_id: SessionId, through: int) -> None:
        await self._redis.run(scripts.DROP_THROUGH, self._keys.stream(session_id), through)

    async def sweep(self, now: float) -> None:
        """Redis does that."""

    def forget(self, session_id: SessionId) -> None:
        """Nothing is held here."""


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
