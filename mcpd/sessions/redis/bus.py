"""Signals over Redis, published to all processes of the store (fire and forget)."""

import msgspec

from mcpd.sessions.bus import Bus, Signal
from mcpd.sessions.redis.link import RedisLink


class _Sent(msgspec.Struct, array_like=True):
    origin: str
    signal: Signal


_decoder = msgspec.json.Decoder(_Sent)


class RedisBus(Bus):
    """See Bus."""

    shared = True

    def __init__(self, redis: RedisLink, process: str) -> None:
        super().__init__()
        self._redis = redis
        self._process = process

    def publish(self, signal: Signal) -> None:
        """Tell the other processes; while Redis is away they cannot be told."""
        sent = msgspec.json.encode(_Sent(self._process, signal))
        self._redis.publish(self._redis.keys.signals, sent)

    def arrived(self, data: bytes) -> None:
        """What a process published; our own comes back too."""
        try:
            sent = _decoder.decode(data)
        except msgspec.DecodeError:
            return  # another version's
        if sent.origin != self._process:
            self.deliver(sent.signal)
