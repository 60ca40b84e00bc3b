"""The streams of all sessions, as this process sees them: who writes and who follows which.

A message goes to the log first and then to whoever follows, in this process or another.
``writing`` and ``following`` are the two ends.
"""

import logging
import secrets
import time
from collections.abc import Callable
from itertools import count

import trio

from mcpd.errors import StoreError
from mcpd.mcp.following import Follower, Place, StreamKey
from mcpd.mcp.writing import CallStream
from mcpd.sessions.bus import Bus, Kind, Signal
from mcpd.sessions.log import SESSION_STREAM, KeptCall, StreamLog
from mcpd.sessions.record import SessionId

SWEEP_EVERY_S = 60.0

log = logging.getLogger("mcpd.mcp")


class Streams:
    """The streams of all sessions, seen from this process.

    ``adopt`` goes on with a call whose process is gone; None: nobody does.
    """

    def __init__(self, stream_log: StreamLog, bus: Bus) -> None:
        self.log = stream_log
        self.bus = bus
        self.adopt: Callable[[KeptCall], None] | None = None
        self._writers: dict[StreamKey, CallStream] = {}
        self._places: dict[StreamKey, Place] = {}
        self._claiming: set[StreamKey] = set()
        self._names = map(f"{secrets.token_hex(4)}-{{}}".format, count(1))  # unlike any elsewhere
        bus.listen(Kind.GREW, self._wake_named)
        bus.listen(Kind.FOLLOWED, self._followed_elsewhere)
        bus.listen(Kind.LEFT, self._left_elsewhere)
        bus.on_resync.append(self._wake_all)

    # --- writing ------------------------------------------------------------------------------

    def write(self, call: KeptCall) -> CallStream:
        """The writing end of a call's stream."""
        key = (call.session_id, call.stream_id)
        stream = CallStream(
            self.log,
            call,
            wake=lambda: self._grew(key),
            cut=lambda retry_ms: self._cut(key, retry_ms),
            close=lambda: self._close(key),
        )
        self._writers[key] = stream
        return stream

    def writer(self, session_id: SessionId, stream_id: str) -> CallStream | None:
        """Who writes this stream in this process."""
        return self._writers.get((session_id, stream_id))

    def _close(self, key: StreamKey) -> None:
        self._writers.pop(key, None)

    def _cut(self, key: StreamKey, retry_ms: int) -> None:
        place = self._places.get(key)
        if place is not None:
            place.cuts += 1
            place.retry_ms = retry_ms
            place.wake()

    def cut_calls(self, retry_ms: int) -> None:
        """End every call's connection here; their clients come back, perhaps elsewhere."""
        for key in list(self._places):
            if key[1] != SESSION_STREAM:
                self._cut(key, retry_ms)

    def abandon(self) -> None:
        """This process stops: what it still runs is not written any more, and stays for another
        process to go on with.
        """
        self.adopt = None
        for stream in list(self._writers.values()):
            stream.give_up()

    def own_grew(self, session_id: SessionId) -> None:
        """The session's own stream has more."""
        self._wake((session_id, SESSION_STREAM))
        self._publish(Kind.GREW, session_id, SESSION_STREAM)

    # --- following ----------------------------------------------------------------------------

    def follow(
        self, session_id: SessionId, stream_id: str, after: int, *, returning: bool = True
    ) -> Follower:
        """Every event behind ``after``, then each new one; ends with the stream or at a cut.

        A message goes out on one connection only, so a newer follower takes over. What a call
        had is then over for the older one; on the session's own stream it waits, since a client
        may hold several of those.

        Args:
            returning: False: nobody can have followed the stream before.
        """
        key = (session_id, stream_id)
        place = self._places.setdefault(key, Place())
        follower = Follower(self, key, place, after, next(self._names))
        place.followers.append(follower)
        place.elsewhere = None
        place.wake()
        if returning:
            self._publish(Kind.FOLLOWED, session_id, f"{stream_id} {follower.name}")
        return follower

    def leave(self, follower: Follower) -> None:
        """A follower is gone; an older one may be served again."""
        place, key = follower.place, follower.key
        if follower in place.followers:
            place.followers.remove(follower)
            place.wake()
            if key[1] == SESSION_STREAM:
                self._publish(Kind.LEFT, key[0], f"{key[1]} {follower.name}")
        if not place.followers and self._places.get(key) is place:
            del self._places[key]

    async def see_to(self, key: StreamKey) -> None:
        """A stream that is written elsewhere: if that process is gone, this one goes on with the
        call.
        """
        if self.adopt is None or key in self._claiming:
            return
        self._claiming.add(key)
        try:
            call = await self.log.claim(*key)
        except StoreError:
            return
        finally:
            self._claiming.discard(key)
        if call is not None and key not in self._writers:
            self.adopt(call)

    async def run_upkeep(self) -> None:
        """Let the log drop what is past its age, for ever."""
        while True:
            await trio.sleep(SWEEP_EVERY_S)
            try:
                await self.log.sweep(time.time())
            except StoreError as error:
                log.warning("old streams stay for now: %s", error.message)

    def forget(self, session_id: SessionId) -> None:
        """The session is over."""
        self.log.forget(session_id)

    # --- signals ------------------------------------------------------------------------------

    def _grew(self, key: StreamKey) -> None:
        self._wake(key)
        writer = self._writers.get(key)
        if writer is not None and writer.followed_elsewhere:
            self._publish(Kind.GREW, *key)

    def _publish(self, kind: Kind, session_id: SessionId, name: str) -> None:
        if self.bus.shared:
            self.bus.publish(Signal(kind, session_id, name))

    def _wake(self, key: StreamKey) -> None:
        place = self._places.get(key)
        if place is not None:
            place.wake()

    def _wake_named(self, signal: Signal) -> None:
        self._wake((SessionId(signal.session_id), signal.name))

    def _wake_all(self) -> None:
        for place in list(self._places.values()):
            place.wake()

    def _followed_elsewhere(self, signal: Signal) -> None:
        stream_id, _, name = signal.name.partition(" ")
        key = (SessionId(signal.session_id), stream_id)
        writer, place = self._writers.get(key), self._places.get(key)
        if writer is not None:
            writer.followed_elsewhere = True
        if place is not None:
            place.elsewhere = name
            place.wake()

    def _left_elsewhere(self, signal: Signal) -> None:
        stream_id, _, name = signal.name.partition(" ")
        place = self._places.get((SessionId(signal.session_id), stream_id))
        if place is not None and place.elsewhere == name:
            place.elsewhere = None
            place.wake()
