"""Sessions forgotten, with all that is theirs."""

import logging
from collections.abc import Sequence

from mcpd.errors import StoreError
from mcpd.sessions.record import SessionId
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.lua import Run
from mcpd.sessions.redis.session_index import SessionIndex
from mcpd.sessions.redis.session_scripts import DROP, Only

_DROPPED, _SPARED = 1, 2  # see ``DROP``

log = logging.getLogger("mcpd.redis")


class Removal:
    """The record goes first, and with it the session; the rest in steps of their own."""

    def __init__(self, redis: RedisLink, index: SessionIndex) -> None:
        self._redis = redis
        self._keys = redis.keys
        self._index = index

    async def drop(
        self, wanted: Sequence[SessionId], only: Only, cutoff: float = 0.0
    ) -> list[SessionId]:
        """Forget sessions and all that is theirs; returns those that were there. Of what is left
        when Redis goes away in between, streams expire and the index is repaired.
        """
        if not wanted:
            return []
        keys = self._keys
        replies = await self._redis.pipeline(
            *(
                Run(
                    DROP,
                    (
                        keys.record(one),
                        keys.unfinished(one),
                        *keys.finished(one),
                        *keys.stream(one),
                        keys.topics(one),
                    ),
                    (only, cutoff),
                )
                for one in wanted
            )
        )
        spared = []
        for session_id, (there, streams, topics, activity) in zip(wanted, replies, strict=True):
            if there == _SPARED:
                spared.append((session_id, float(activity)))
            for stream in streams:
                self._redis.send("DEL", *keys.stream(session_id, bytes(stream).decode()))
            for topic in topics:
                self._redis.send("SREM", keys.watchers(bytes(topic).decode()), session_id)
        kept = {session_id for session_id, _ in spared}
        try:
            await self._index.remove(one for one in wanted if one not in kept)
            await self._put_right(spared, only)
        except StoreError as error:
            log.info("the index of sessions is repaired later: %s", error.message)
        return [one for one, reply in zip(wanted, replies, strict=True) if reply[0] == _DROPPED]

    async def _put_right(self, spared: Sequence[tuple[SessionId, float]], only: Only) -> None:
        """The index was wrong of these."""
        if only is Only.IDLE:
            await self._index.touch(spared)
        else:
            for session_id, _ in spared:
                self._index.has_principal(session_id)
