"""One socket with bounds: every read and write has a deadline, and a peer's leaving is noticed.

The watch for a peer that goes away is a second task; it starts only when a request has run for
WATCH_AFTER_S, so that ordinary requests pay nothing for it. Deadlines live on the shared wheel.
"""

from collections.abc import Callable
from math import inf

import trio

from mcpd.http import closing
from mcpd.http.bounds import (
    PIPELINE_BYTES,
    READ_BYTES,
    WATCH_AFTER_S,
    WRITE_PIECE_BYTES,
    Bounds,
)
from mcpd.http.phases import MOVES, Phase
from mcpd.http.stream_io import io_of
from mcpd.http.timers import Timed, Timers


class PeerStream(Timed):
    """A stream, its phase and its deadline. ``scope`` cancelled means: the connection is over."""

    __slots__ = (
        "_bounds", "_limit", "_pending", "_shielded", "_timers", "_watch_done", "_watch_scope",
        "broken", "gone", "io", "keep", "now", "nursery", "over", "phase", "raw", "scope",
    )  # fmt: skip

    def __init__(self, stream: trio.abc.Stream, timers: Timers, bounds: Bounds) -> None:
        super().__init__()
        self.raw = stream
        self.io = io_of(stream)
        self.now: Callable[[], float] = trio.current_time  # Trio clock, seconds
        self.phase = Phase.IDLE
        self.scope = trio.CancelScope()
        self.nursery: trio.Nursery | None = None  # of the connection; owns the watch
        self.gone = False  # the peer has left, or at least sends nothing more
        self.broken = False  # what we wrote did not go out
        self.over = False  # ``end`` was called
        self.keep = False  # a peer that left does not stop the running request
        self._timers = timers
        self._bounds = bounds
        self._pending = b""  # read by the watch while a request ran
        self._limit = inf  # of the running request, Trio clock
        self._shielded: trio.CancelScope | None = None  # around a write that must be whole
        self._watch_scope: trio.CancelScope | None = None
        self._watch_done: trio.Event | None = None

    # --- deadlines ----------------------------------------------------------------------------

    def arm(self, phase: Phase, due: float) -> None:
        """Enter a phase that may take until ``due`` (Trio clock)."""
        if phase not in MOVES[self.phase]:
            raise RuntimeError(f"a connection does not go from {self.phase} to {phase}")
        self.phase = phase
        self.due = due  # as Timers.arm does it; most deadlines only move later
        if due < self.looked_at:
            self._timers.arm(self, due)

    def allow(self, phase: Phase, seconds: float) -> None:
        """Enter a phase that may take this long from now on."""
        self.arm(phase, self.now() + seconds)

    def run_until(self, limit: float, now: float) -> None:
        """Enter RUNNING until ``limit`` (Trio clock); watch the peer if it takes long."""
        self._limit = limit
        watch_at = now + WATCH_AFTER_S
        due = watch_at if self._watch_scope is None and watch_at < limit else limit
        self.arm(Phase.RUNNING, due)

    def resume(self) -> None:
        """Go back to RUNNING after a read or a write in between."""
        self.run_until(self._limit, self.now())

    def disarm(self) -> None:
        """No deadline any more."""
        self._timers.forget(self)

    def on_due(self, now: float) -> None:
        """A deadline passed, or a running request is to be watched from now on."""
        if self.phase is not Phase.RUNNING or now >= self._limit:
            self.end()
        elif self._watch_scope is None and self.nursery is not None:
            self._watch_scope = trio.CancelScope()
            self._watch_done = trio.Event()
            self.nursery.start_soon(self._watch, self._watch_scope, self._watch_done)
            self._timers.arm(self, self._limit)

    # --- the watch ----------------------------------------------------------------------------

    async def _watch(self, scope: trio.CancelScope, done: trio.Event) -> None:
        """Read while a request runs: bytes are kept for later, the end is the peer's leaving."""
        with scope:
            while len(self._pending) < PIPELINE_BYTES:
                data = await self.io.receive(READ_BYTES)
                if not data:
                    self._lose_peer()
                    break
                self._pending += data
        done.set()

    @property
    def is_watched(self) -> bool:
        """Whether the watch runs, or has run and was not stopped."""
        return self._watch_scope is not None

    async def stop_watch(self) -> None:
        """The socket is the caller's again; cheap when there was no watch."""
        if self._watch_scope is None or self._watch_done is None:
            return
        self._watch_scope.cancel()
        await self._watch_done.wait()
        self._watch_scope = self._watch_done = None

    async def linger(self) -> None:
        """See ``closing.linger``. It reads itself, so no watch may begin beside it."""
        self.disarm()
        await closing.linger(self.raw)

    def _lose_peer(self) -> None:
        self.gone = True
        if not self.keep:
            self.end()
        elif self.phase is Phase.RUNNING:
            self._limit = min(self._limit, trio.current_time() + self._bounds.left_call_timeout_s)
            self._timers.arm(self, self._limit)

    def begin_again(self) -> trio.CancelScope:
        """A fresh scope, for a peer whose request was cancelled in the last one."""
        self.scope = trio.CancelScope()
        return self.scope

    def end(self) -> None:
        """The connection is over, writes that are shielded included."""
        self.over = True
        self.scope.cancel()
        if self._shielded is not None:
            self._shielded.cancel()

    # --- bytes --------------------------------------------------------------------------------

    def take_kept(self) -> bytes | None:
        """What the watch kept, or b"" for a peer that has left; None: read the socket."""
        if self._pending:
            data, self._pending = self._pending, b""
            return data
        return b"" if self.gone else None

    async def receive(self, max_bytes: int) -> bytes:
        """What the watch kept, then the socket's bytes; b"": the peer has left."""
        kept = self.take_kept()
        return await self.io.receive(max_bytes) if kept is None else kept

    async def receive_or_end(self, max_bytes: int) -> bytes:
        """Like ``receive``, but a peer that has left ends the connection by cancellation."""
        data = await self.receive(max_bytes)
        if not data:
            self.keep = False
            self._lose_peer()
            await trio.lowlevel.checkpoint()
        return data

    async def send_whole(self, data: bytes) -> bool:
        """Write all of it for a request that runs, whatever is cancelled around it; False: it did
        not all go out. No checkpoint if the system takes it at once.
        """
        if len(data) <= WRITE_PIECE_BYTES and not (self.broken or self.gone):
            data = data[self._send_at_once(data) :]
            if not data:
                return True
        bound_s = self._bounds.write_timeout_s * (1 + len(data) // WRITE_PIECE_BYTES)
        with trio.move_on_after(bound_s, shield=True) as self._shielded:
            await self.send(data)
        if self._shielded.cancelled_caught:
            self.broken = True
        self._shielded = None
        if self.broken:  # nothing can follow, and what runs for itself needs no connection
            self.end()
        self.resume()
        return not self.broken

    def _send_at_once(self, data: bytes) -> int:
        try:
            return self.io.send_at_once(data)
        except trio.BrokenResourceError:
            return 0  # as it will be found again

    async def send(self, data: bytes) -> None:
        """Write; a peer that takes no piece within write_timeout_s is dropped.

        A peer that only stopped sending may still read, so with ``keep`` set it is tried.
        """
        size = len(data)
        for start in range(0, size, WRITE_PIECE_BYTES):
            if self.broken or (self.gone and not self.keep):
                return
            self.arm(Phase.WRITING, self.now() + self._bounds.write_timeout_s)
            whole = size <= WRITE_PIECE_BYTES
            piece = data if whole else data[start : start + WRITE_PIECE_BYTES]
            try:
                await self.io.send(piece)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self.broken = True
                self._lose_peer()
                await trio.lowlevel.checkpoint_if_cancelled()
