"""Streams and answers in Redis: the entry ids of its streams are the numbers of the messages."""

import hashlib
import math
import time
from collections.abc import AsyncIterator, Callable

import msgspec

from mcpd.errors import SessionNotFound
from mcpd.sessions.log import (
    KEEP_FINISHED_S,
    MAX_BYTES,
    MAX_EVENTS,
    SESSION_STREAM,
    Event,
    KeptCall,
    Page,
    asker_of,
)
from mcpd.sessions.record import SessionId
from mcpd.sessions.redis import log_scripts as scripts
from mcpd.sessions.redis.finished_scripts import MARK_UNREAD
from mcpd.sessions.redis.link import Link
from mcpd.sessions.redis.liveness import Liveness

READ_EVENTS = 100  # in one page
WATCHERS = 500  # sessions that one command tells of a change

_call = msgspec.json.Decoder(KeptCall)


class RedisLog:
    """See StreamLog.

    Args:
        owner: the name of this process, different at every start.
        keep_running_s: how long an unfinished stream and open questions are kept.
        own_ttl_s: how long a session's own stream is kept without activity.
    """

    def __init__(
        self,
        link: Link,
        owner: str,
        liveness: Liveness,
        *,
        keep_running_s: float,
        own_ttl_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._link = link
        self._prefix = link.address.prefix
        self._owner = owner
        self._running_ttl_s = math.ceil(keep_running_s)
        self._own_ttl_s = math.ceil(own_ttl_s)
        self._clock = clock
        self._liveness = liveness

    async def begin(self, call: KeptCall) -> None:
        begun = await self._link.run_script(
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
        kept = await self._link.run_script(
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
        await self._link.run_script(
            MARK_UNREAD, self._prefix, session_id, stream_id, int(KEEP_FINISHED_S)
        )

    async def read(self, session_id: SessionId, stream_id: str, after: int) -> Page | None:
        key = f"{session_id}:{stream_id}"
        state, entries = await self._link.pipeline(  # in this order: what ends is read whole
            ("HMGET", f"{self._prefix}:m:{key}", "last", "finished"),
            ("XRANGE", f"{self._prefix}:e:{key}", f"(0-{after}", "+", "COUNT", READ_EVENTS),
        )
        if state[0] is None and stream_id != SESSION_STREAM:
            return None
        events = [_event(entry) for entry in entries or ()]
        whole = not events or events[-1].number == int(state[0] or 0)
        return Page(events, finished=state[1] is not None and whole)

    async def last(self, session_id: SessionId) -> int:
        newest = await self._link.call("XREVRANGE", self._own(session_id), "+", "-", "COUNT", 1)
        return _event(newest[0]).number if newest else 0

    async def claim(self, session_id: SessionId, stream_id: str) -> KeptCall | None:
        if not self._liveness.can_tell:
            return None
        key = f"{session_id}:{stream_id}"
        found = await self._link.run_script(
            scripts.CLAIM,
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

    async def let_go(self, session_id: SessionId, stream_id: str) -> None:
        await self._link.run_script(
            scripts.LET_GO, self._prefix, session_id, stream_id, self._owner
        )

    async def take_turn(
        self, session_id: SessionId, stream_id: str, follower: str, *, force: bool
    ) -> int | None:
        served, reached = await self._link.run_script(
            scripts.TAKE_TURN,
            self._prefix,
            session_id,
            stream_id,
            self._owner,
            follower,
            int(force),
            self._own_ttl_s,
        )
        return int(reached) if served else None

    async def end_turn(
        self, session_id: SessionId, stream_id: str, follower: str, reached: int
    ) -> None:
        await self._link.run_script(
            scripts.END_TURN, self._prefix, session_id, stream_id, self._owner, follower, reached
        )

    async def release(self) -> None:
        await self._link.call("DEL", f"{self._prefix}:p:{self._owner}")

    async def put(
        self, session_id: SessionId, data: bytes, *, drop_oldest: bool = True
    ) -> int | None:
        added = await self._link.run_script(
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
        events, size = await self._link.pipeline(
            ("XLEN", self._own(session_id)),
            ("HGET", f"{self._prefix}:m:{session_id}:{SESSION_STREAM}", "bytes"),
        )
        return int(events) < MAX_EVENTS and int(size or 0) < MAX_BYTES

    async def take(self, session_id: SessionId, through: int) -> None:
        await self._link.run_script(scripts.TAKE, self._prefix, session_id, through)

    async def watch(self, session_id: SessionId, topics: frozenset[str]) -> None:
        await self._link.run_script(
            scripts.WATCH, self._prefix, session_id, *sorted(map(_topic, topics))
        )

    async def announce(self, topic: str, data: bytes) -> list[SessionId]:
        name, reached = _topic(topic), []
        async for ids in self._watchers(name):
            found = await self._link.run_script(
                scripts.ANNOUNCE, self._prefix, name, data, self._own_ttl_s, self._owner, *ids
            )
            reached += [SessionId(raw.decode("ascii")) for raw in found]
        return reached

    async def _watchers(self, topic: str) -> AsyncIterator[list[bytes]]:
        """In pieces, each session once: an element may come twice from SSCAN."""
        seen: set[bytes] = set()
        cursor: bytes | int = 0
        while True:
            cursor, found = await self._link.call(
                "SSCAN", f"{self._prefix}:w:{topic}", cursor, "COUNT", WATCHERS
            )
            fresh = [session_id for session_id in found if session_id not in seen]
            seen.update(fresh)
            if fresh:
                yield fresh
            if int(cursor) == 0:
                return

    async def ask(self, session_id: SessionId, asker: str, request_id: str) -> None:
        await self._link.run_script(
            scripts.ASK, self._prefix, session_id, asker, request_id, self._running_ttl_s
        )

    async def answer(self, session_id: SessionId, request_id: str, reply: bytes) -> bool:
        asker = asker_of(request_id)
        taken = await self._link.run_script(
            scripts.ANSWER, self._prefix, session_id, asker, request_id, reply, self._owner
        )
        return bool(taken)

    async def answer_to(self, session_id: SessionId, request_id: str) -> bytes | None:
        key = f"{self._prefix}:q:{session_id}:{asker_of(request_id)}"
        found = await self._link.call("HGET", key, request_id)
        return bytes(found) if found else None

    async def forget_questions(self, session_id: SessionId, asker: str) -> None:
        await self._link.call("DEL", f"{self._prefix}:q:{session_id}:{asker}")

    async def sweep(self, now: float) -> None:
        """Redis does that."""

    def forget(self, session_id: SessionId) -> None:
        """Nothing is held here."""

    def _own(self, session_id: SessionId) -> str:
        return f"{self._prefix}:e:{session_id}:{SESSION_STREAM}"


def _topic(topic: str) -> str:
    """A URI may be long; its hash is not."""
    return hashlib.sha256(topic.encode()).hexdigest()[:32]


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
