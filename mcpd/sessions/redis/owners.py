"""Which sessions a principal has, in Redis: an index that spans sessions. Those that are over are
taken out when it is looked at.
"""

import hashlib

from mcpd.sessions.record import Session, SessionId
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.lua import Script
from mcpd.sessions.redis.record import HEAD_CHARS
from mcpd.sessions.redis.session_index import ids

KEEP_S = 30 * 24 * 3600  # without a new session of the principal; what is left then ends by itself

# KEYS: a principal's sessions; ARGV: id, ttl → how many
_ADD = Script(
    """
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('SCARD', KEYS[1])
"""
)


class OwnedSessions:
    """The sessions of each principal."""

    def __init__(self, redis: RedisLink) -> None:
        self._redis = redis
        self._keys = redis.keys

    async def add(self, session: Session) -> int:
        """Take in a session that is kept already; how many its principal has then."""
        return int(await self._redis.run(_ADD, (self._key(session),), session.id, KEEP_S))

    async def surplus(self, session: Session, keep: int) -> list[SessionId]:
        """Those of its principal beyond ``keep``, without activity for longest first; this one is
        not among them.
        """
        key = self._key(session)
        owned = ids(await self._redis.call("SMEMBERS", key))
        heads = await self._redis.pipeline(
            *(("GETRANGE", self._keys.record(one), 1, HEAD_CHARS - 1) for one in owned)
        )
        gone = [one for one, activity in zip(owned, heads, strict=True) if not activity]
        if gone:
            self._redis.send("SREM", key, *gone)
        alive = sorted(
            (float(activity), one)
            for one, activity in zip(owned, heads, strict=True)
            if activity and one != session.id
        )
        return [one for _, one in alive[: max(0, len(alive) + 1 - keep)]]

    def _key(self, session: Session) -> str:
        owner = f"{session.issuer or ''} {session.subject or ''}"
        return self._keys.owned(hashlib.sha256(owner.encode()).hexdigest()[:32])
