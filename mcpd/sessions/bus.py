"""Signals between the processes of one store: something changed, look for yourself.

A signal may get lost when its way breaks; it only says that something is there sooner than
looking again would. A listener that must not miss anything looks again at ``on_resync``.
"""

from collections.abc import Callable
from enum import StrEnum

import msgspec


class SignalKind(StrEnum):
    """What happened."""

    GREW = "grew"  # a stream has more, or ended; name: the stream
    READ_ELSEWHERE = "followed"  # a connection elsewhere follows a stream; name: the stream
    READER_LEFT = "left"  # that connection ended
    ANSWERED = "answered"  # name: the question's id
    CANCELLED = "cancelled"  # name: the id of the request, as JSON text
    ENDED = "ended"  # a session is over
    CHANGED = "changed"  # a session's record is another one
    ANNOUNCED = "announced"  # name: method and URI
    TASK = "task"  # name: the task's id


class Signal(msgspec.Struct, frozen=True, array_like=True):
    """One thing that happened."""

    kind: SignalKind
    session_id: str = ""
    name: str = ""


Listener = Callable[[Signal], None]


class Bus:
    """Signals of other processes to listeners in this one. This one has no others: what happens
    here is told by plain calls.
    """

    shared = False  # whether there may be other processes

    def __init__(self) -> None:
        self._listeners: dict[SignalKind, list[Listener]] = {}
        self.on_resync: list[Callable[[], None]] = []

    def listen(self, kind: SignalKind, listener: Listener) -> None:
        """Call ``listener`` for each signal of this kind from another process."""
        self._listeners.setdefault(kind, []).append(listener)

    def publish(self, signal: Signal) -> None:
        """Tell the other processes; never waits."""

    def deliver(self, signal: Signal) -> None:
        """A signal arrived."""
        for listener in self._listeners.get(signal.kind, ()):
            listener(signal)

    def resync(self) -> None:
        """Signals may have been lost: every listener looks again."""
        for job in self.on_resync:
            job()
