"""The streams of all sessions, as this process sees them: who writes and who follows which.

A message goes to the log first and then to whoever follows, in this process or another.
``writing`` and ``following`` are the two ends.
"""

import logging
import secrets
import time
from collections.abc import Callable
from functools import partial
from itertools import count

import trio

from mcpd.errors import StoreError
from mcpd.mcp.streams.reader import Follower, Place, StreamKey
from mcpd.mcp.streams.retry_queue import Owed
from mcpd.mcp.streams.writer import CallStream
from mcpd.sessions.bus import Bus, Kind, Signal
from mcpd.sessions.log import SESSION_STREAM, KeptCall, StreamLog
from mcpd.sessions.record import SessionId

SWEEP_EVERY_S = 60.0
CLAIM_S = 5.0  # to take over a call, whoever waits for it

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
        self._owed = Owed()
        self._names = map(f"{secrets.token_hex(4)}-{{}}".format, count(1))  # unlike any elsewhere
        bus.listen(Kind.GREW, self._wake_named)
        bus.listen(Kind.FOLLOWED, self._followed_elsewhere)
        bus.listen(Kind.LEFT, self._turn_named)
        bus.on_resync.append(self._wake_all)

    # --- writing ------------------------------------------------------------------------------

    def write(self, call: KeptCall) -> CallStream:
        """The writing end of a call's stream."""
        key = (call.session_id, call.stream_id)
        stream = CallStream(
            self.log,
            call,
            wake=lambda: self._grew(key),
            is_followed=lambda: self._is_followed(key),
            cut=lambda retry_ms: self._cut(key, retry_ms),
            close=lambda unfinished: self._close(key, unfinished=unfinished),
        )
        self._writers[key] = stream
        return stream

    def writer(self, session_id: SessionId, stream_id: str) -> CallStream | None:
        """Who writes this stream in this process."""
        return self._writers.get((session_id, stream_id))

    def _is_followed(self, key: StreamKey) -> bool:
        place = self._places.get(key)
        return place is not None and bool(place.followers) and not place.cuts

    def _close(self, key: StreamKey, *, unfinished: bool) -> None:
        self._writers.pop(key, None)
        if unfinished and self.adopt is not None:  # else its client would wait for us alone
            self._owed.add(key, partial(self._let_go, key))

    async def _let_go(self, key: StreamKey) -> None:
        if key not in self._writers and key not in self._claiming:
            await self.log.let_go(*key)

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
        """The session's own stream has more; the log tells the other processes."""
        self._wake((session_id, SESSION_STREAM))

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
        follower = Follower(self, key, place, after, next(self._names), returning=returning)
        place.followers.append(follower)
        place.wake()
        return follower

    def leave(self, follower: Follower) -> None:
        """A follower is gone; an older one may be served again, here or elsewhere."""
        place, key = follower.place, follower.key
        if follower in place.followers:
            place.followers.remove(follower)
            place.wake()
            if follower.missed_the_end:
                self._owed.add((key, "unread"), partial(self.log.mark_unread, *key))
            if follower.took_turn and key[1] == SESSION_STREAM:  # else none waits
                self._owed.add((key, follower.name), partial(self._end_turn, follower))
        if not place.followers and self._places.get(key) is place:
            del self._places[key]

    async def _end_turn(self, follower: Follower) -> None:
        await self.log.end_turn(*follower.key, follower.name, follower.place.delivered)
        self._look_at_turn(follower.key)

    async def see_to(self, key: StreamKey) -> None:
        """A stream that is written elsewhere: if that process is gone, this one goes on with the
        call.
        """
        if self.adopt is None or key in self._claiming:
            return
        self._claiming.add(key)
        doubtful = True
        try:
            with trio.move_on_after(CLAIM_S, shield=True):  # what is claimed must be gone on with
                call = await self.log.claim(*key)
                doubtful = False
                if call is not None and key not in self._writers and self.adopt is not None:
                    self.adopt(call)
        except StoreError:
            return
        finally:
            self._claiming.discard(key)
            if doubtful:
                self._owed.add(key, partial(self._let_go, key))

    async def run_upkeep(self) -> None:
        """Write what is owed to the log, and let it drop what is past its age, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._owed.run)
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
        for key in list(self._places):
            self._look_at_turn(key)

    def _followed_elsewhere(self, signal: Signal) -> None:
        key = (SessionId(signal.session_id), signal.name)
        writer = self._writers.get(key)
        if writer is not None:
            writer.followed_elsewhere = True
        self._look_at_turn(key)

    def _turn_named(self, signal: Signal) -> None:
        self._look_at_turn((SessionId(signal.session_id), signal.name))

    def _look_at_turn(self, key: StreamKey) -> None:
        """Who is served may be another one now."""
        place = self._places.get(key)
        if place is not None:
            place.turns += 1
            place.wake()
