"""Signals over Redis, published to all processes of the store (fire and forget)."""

import msgspec

from mcpd.sessions.bus import Bus, Signal
from mcpd.sessions.redis.connection import RedisConnection


class _Sent(msgspec.Struct, array_like=True):
    origin: str
    signal: Signal


_decoder = msgspec.json.Decoder(_Sent)


class RedisBus(Bus):
    """See Bus. ``attach`` gives it its link, which needs the bus in turn."""

    shared = True

    def __init__(self, channel: str, process: str) -> None:
        super().__init__()
        self._channel = channel
        self._process = process
        self._redis: RedisConnection | None = None

    def attach(self, redis: RedisConnection) -> None:
        """The way out."""
        self._redis = redis

    def publish(self, signal: Signal) -> None:
        """Tell the other processes; while Redis is away they cannot be told."""
        if self._redis is not None:
            sent = msgspec.json.encode(_Sent(self._process, signal))
            self._redis.send("PUBLISH", self._channel, sent)

    def arrived(self, data: bytes) -> None:
        """What a process published; our own comes back too."""
        try:
            sent = _decoder.decode(data)
        except msgspec.DecodeError:
            return  # another version's
        if sent.origin != self._process:
            self.deliver(sent.signal)
