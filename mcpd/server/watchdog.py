"""Says in the log what blocks the event loop, or holds every thread for tools: tool, file and line.

A thread looks, since a blocked event loop cannot. What systemd or the supervisor ends because it
gave no sign of life leaves the stacks of its threads (faulthandler, on SIGABRT).
"""

import logging
import sys
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import trio

from mcpd.app import thread_calls
from mcpd.app.function import Function
from mcpd.limits.fair_limiter import FairLimiter

BEAT_S = 0.25  # from one sign of life of the event loop to the next
BLOCKED_S = 1.0  # without one, until it is told; told again after twice as long, and so on
FULL_S = 2.0  # with no thread free and calls that wait, until that is told
FULL_AGAIN_S = 60.0
SHOWN_FRAMES = 12
SHOWN_CALLS = 5
LAG_KEPT_S = 60.0
END_S = 1.0  # for the thread to notice the end

log = logging.getLogger("mcpd.watchdog")

_OURS = str(Path(__file__).parents[1])
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib"))
_CALLERS = (Function.call.__code__,)


class Watchdog:
    """Watches one event loop and its threads for tools.

    Args:
        threads: that plain functions share.
        flush: writes the log; from the watching thread, since the event loop may be blocked.
    """

    def __init__(self, threads: FairLimiter, flush: Callable[[], None]) -> None:
        self._threads = threads
        self._flush = flush
        self._beat = time.monotonic()
        self._stop = threading.Event()
        self._loop_thread = 0
        self._full_since: float | None = None
        self._full_told = -FULL_AGAIN_S
        self._lags = (0.0, 0.0)  # the longest of this minute, and of the one before
        self._minute = time.monotonic()

    async def run(self) -> None:
        """Watch for ever.

        Cancellation: the thread ends within END_S.
        """
        self._loop_thread = threading.get_ident()
        watcher = threading.Thread(target=self._watch, name="mcpd watchdog", daemon=True)
        watcher.start()
        try:
            while True:
                self._note_lag(time.monotonic() - self._beat - BEAT_S)
                self._beat = time.monotonic()
                self._look_at_threads(self._beat)
                await trio.sleep(BEAT_S)
        finally:
            self._stop.set()
            watcher.join(END_S)

    @property
    def lag_s(self) -> float:
        """The longest time for which the event loop was late, of the last minute or two."""
        return max(self._lags)

    def _note_lag(self, lag_s: float) -> None:
        now = time.monotonic()
        if now - self._minute >= LAG_KEPT_S:
            self._minute, self._lags = now, (0.0, self._lags[0])
        self._lags = (max(self._lags[0], lag_s), self._lags[1])

    # --- the event loop -----------------------------------------------------------------------

    def _watch(self) -> None:
        limit_s = BLOCKED_S
        while not self._stop.wait(BEAT_S):
            blocked_s = time.monotonic() - self._beat - BEAT_S
            if blocked_s < BLOCKED_S:
                if limit_s > BLOCKED_S:
                    log.warning("the event loop turns again")
                limit_s = BLOCKED_S
            elif blocked_s >= limit_s:
                limit_s = 2 * blocked_s
                try:
                    self._tell_blocked(blocked_s)
                except Exception:  # it goes on to watch
                    log.exception("the watchdog cannot say what blocks")

    def _tell_blocked(self, blocked_s: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)
        if frame is None:
            return
        log.warning(
            "the event loop has been blocked for %.1f s by %s, and every client waits. Declare the"
            " function without async, so that it runs in a thread, or await what waits.\n%s",
            blocked_s, where(frame), stack(frame),
        )  # fmt: skip
        self._flush()

    # --- threads for tools --------------------------------------------------------------------

    def _look_at_threads(self, now: float) -> None:
        _, waiting = self._threads.statistics()
        if not waiting:
            self._full_since = None
            return
        self._full_since = now if self._full_since is None else self._full_since
        if now - self._full_since >= FULL_S and now - self._full_told >= FULL_AGAIN_S:
            self._full_told = now
            self._tell_full(now, self._threads.total, waiting)

    def _tell_full(self, now: float, threads: int, waiting: int) -> None:
        calls, frames = thread_calls.running(), sys._current_frames()
        names = Counter(call.name for call in calls).most_common(SHOWN_CALLS)
        oldest = "\n".join(
            f"{call.name} for {now - call.began:.1f} s, at {where(frames[call.thread])}"
            for call in calls[:SHOWN_CALLS]
            if call.thread in frames
        )
        log.warning(
            "all %d threads for tools are taken (%s), and %d calls wait. A plain function goes on"
            " after its client has left: give it timeouts, or raise tool_threads.\n%s",
            threads, ", ".join(f"{name}: {number}" for name, number in names), waiting, oldest,
        )  # fmt: skip


def where(innermost: FrameType) -> str:
    """The tool and the line of its author's code that runs in a stack, as far as can be told."""
    tool, place = "", ""
    frame: FrameType | None = innermost
    while frame is not None:
        code = frame.f_code
        if not place and not code.co_filename.startswith((_OURS, "<", *_INSTALLED)):
            place = _place(frame)
        if code in _CALLERS:
            tool = f"{frame.f_locals['self'].name}, "
            break
        frame = frame.f_back
    return tool + (place or _place(innermost))


def stack(innermost: FrameType) -> str:
    """The frames nearest to what runs, one a line."""
    lines: list[str] = []
    frame: FrameType | None = innermost
    while frame is not None and len(lines) < SHOWN_FRAMES:
        lines.append(_place(frame))
        frame = frame.f_back
    return "\n".join(lines)


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
