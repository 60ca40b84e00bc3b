"""Which plain functions run in threads now, so that the log can say why no thread is free."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ThreadCall:
    """One function in its thread.

    Attributes:
        began: seconds on the monotonic clock.
        thread: its identifier, as in ``sys._current_frames``.
    """

    name: str
    began: float
    thread: int


_running: dict[int, ThreadCall] = {}


def noted(name: str, call: Callable[[], Any]) -> Any:
    """Call a function in the current thread, and know of it while it runs."""
    thread = threading.get_ident()
    _running[thread] = ThreadCall(name, time.monotonic(), thread)
    try:
        return call()
    finally:
        del _running[thread]


def running() -> list[ThreadCall]:
    """Those that run now, the oldest first; from any thread."""
    calls = list(_running.values())  # in one step, since other threads change it
    return sorted(calls, key=lambda call: call.began)
