"""What happened, told once, between those who act and those who count or write.

A request or message that is served has an ``Activity``. It is current for everything that serves
it, so that a line in the log can name it. When something is over, an event says what came of it:
``Observer.tell`` is the one call that the way through makes. What counts or writes is a listener:
see ``events`` for what there is.
"""

import itertools
import logging
import secrets
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import msgspec

from mcpd.trace_context import TraceContext

E = TypeVar("E")
log = logging.getLogger("mcpd.observer")

_RUN = secrets.token_hex(2)  # another run of the process makes other ids
_numbers = itertools.count(1)


class Activity(msgspec.Struct, eq=False, gc=False):
    """One request or message while it is served. Members are filled in as they become known.

    Attributes:
        kind: what it is; ids begin with it after the run's own mark.
        number: tells it from others of its kind.
        session: the session that it names.
        user: the subject of its principal.
        credential: the id of the one that was refused, as far as it was read.
        method: its JSON-RPC method.
        context: its place in a trace, for what is sent on.
        span: what a listener that traces keeps of it.
    """

    kind: str
    number: int
    session: str = ""
    user: str = ""
    credential: str = ""
    method: str = ""
    context: TraceContext | None = None
    span: Any = None

    @property
    def trace(self) -> str:
        """The id of its trace, 32 hexadecimal digits; empty: it has none."""
        return "" if self.context is None else self.context.trace_id

    @property
    def id(self) -> str:
        """Names it in the log and in what its client is told of a fault; ``-``: there is none."""
        return f"{_RUN}-{self.kind}-{self.number:x}" if self.kind else "-"

    def known(self) -> dict[str, str]:
        """The members that are known, for a line of the log; the id is not among them."""
        pairs = (
            ("session", self.session), ("user", self.user), ("method", self.method),
            ("trace", self.trace),
        )  # fmt: skip
        return {name: value for name, value in pairs if value}


_NONE = Activity("", 0)
current: ContextVar[Activity] = ContextVar("mcpd_activity", default=_NONE)


def begin(kind: str, number: int = 0) -> Activity:
    """A new activity, current from here on in this task and in what it starts.

    Args:
        number: see ``Activity``; 0: the next one is taken.
    """
    activity = Activity(kind, number or next(_numbers))
    current.set(activity)
    return activity


def leave() -> None:
    """No activity is current in this task any more."""
    current.set(_NONE)


class Observer:
    """Passes events to their listeners, in the order in which these came. A listener must not
    wait. One that raises is told in the log, once: who acts is not to suffer from who counts.
    """

    def __init__(self) -> None:
        self._listeners: dict[type, list[Callable[[Any], None]]] = {}
        self._failed: set[Callable[[Any], None]] = set()

    def listen(self, kind: type[E], listener: Callable[[E], None]) -> None:
        """Call ``listener`` with each event of this class from here on."""
        self._listeners.setdefault(kind, []).append(listener)

    def hears(self, kind: type) -> bool:
        """Whether anything listens to events of this class, which need not be made otherwise."""
        return kind in self._listeners

    def tell(self, event: object) -> None:
        """Something happened. An event that nothing listens to costs a look-up."""
        for listener in self._listeners.get(type(event), ()):
            try:
                listener(event)
            except Exception:
                if listener not in self._failed:
                    self._failed.add(listener)
                    log.exception("a listener fails; this is told once")
