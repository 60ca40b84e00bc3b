"""Which processes of the store are alive.

A process is alive while it is subscribed to its own channel and its key has not expired. The
first tells at once of a process that ended; the second of a host that fell silent.
"""

from enum import Enum, auto

import trio

from mcpd.sessions.redis.keeper import LEASE_S
from mcpd.sessions.redis.link import RedisLink

SUSPECT_S = 0.2  # for a process that lost its connection alone to come back
FORGET_S = 60.0  # a suspicion that was not looked into


class Life(Enum):
    """What is known of a process."""

    ALIVE = auto()
    SUSPECT = auto()  # it lost its connection, or ended
    GONE = auto()


class Liveness:
    """What this process may conclude about the others."""

    def __init__(self, redis: RedisLink) -> None:
        self._redis = redis
        self._suspects: dict[str, float] = {}

    @property
    def can_tell(self) -> bool:
        """Whether a process that does not answer is gone: after an outage each gets the time to
        come back.
        """
        up_since = self._redis.up_since
        if up_since is None:
            return False
        return not self._redis.outages or trio.current_time() - up_since >= LEASE_S

    async def life_of(self, process: str) -> Life:
        """What the store knows of a process. A name is never used again: who is gone stays gone.

        Raises:
            StoreError: that cannot be told.
        """
        keys = self._redis.keys
        if not await self._redis.call("EXISTS", keys.process(process)):
            return Life.GONE
        channel = keys.channel_of(process)
        for reply in await self._redis.everywhere("PUBSUB", "NUMSUB", channel):
            if int(reply[1] if isinstance(reply, list) else reply[channel.encode()]):
                return Life.ALIVE
        return Life.SUSPECT

    def is_sure(self, name: str) -> bool:
        """Whether something has been under suspicion for long enough."""
        since = self._suspects.get(name)
        return since is not None and trio.current_time() - since >= SUSPECT_S

    def suspect(self, name: str) -> None:
        """From now on, if not for longer."""
        now = trio.current_time()
        for old in [key for key, since in self._suspects.items() if now - since > FORGET_S]:
            del self._suspects[old]
        self._suspects.setdefault(name, now)

    def clear(self, name: str) -> None:
        """No suspicion is left."""
        self._suspects.pop(name, None)

    async def is_gone(self, process: str) -> bool:
        """Whether a process has surely ended; one of an earlier start is another one.

        Raises:
            StoreError: that cannot be told.
        """
        if not self.can_tell:
            return False
        life = await self.life_of(process)
        if life is Life.SUSPECT:
            self.suspect(process)
            return self.is_sure(process)
        self.clear(process)
        return life is Life.GONE
