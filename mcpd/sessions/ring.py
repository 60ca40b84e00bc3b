"""The newest messages of one stream, in memory: a writer's own copy, or all that there is. Pure."""

from collections import deque

from mcpd.sessions.streams import MAX_BYTES, MAX_EVENTS, Event, Page


class Ring:
    """The newest messages of one stream."""

    __slots__ = ("_events", "finished_at", "last", "size", "unread")

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self.size = 0  # bytes
        self.last = 0
        self.finished_at: float | None = None
        self.unread = False  # when it was finished

    @property
    def is_full(self) -> bool:
        """Whether the next message pushes out the oldest."""
        return len(self._events) >= MAX_EVENTS or self.size >= MAX_BYTES

    def append(self, number: int, data: bytes) -> None:
        """Add a message; one that is there already is not added again."""
        if number <= self.last:
            return
        self.last = number
        self._events.append(Event(number, data))
        self.size += len(data)
        while len(self._events) > 1 and (len(self._events) > MAX_EVENTS or self.size > MAX_BYTES):
            self._drop_oldest()

    def drop_through(self, through: int) -> None:
        """Drop messages up to a number."""
        while self._events and self._events[0].number <= through:
            self._drop_oldest()

    def behind(self, after: int) -> Page:
        """The messages after a number."""
        if after >= self.last:
            return Page([], self.finished_at is not None)
        if self._events and self._events[-1].number == after + 1:  # the usual case: one is new
            return Page([self._events[-1]], self.finished_at is not None)
        found = [event for event in self._events if event.number > after]
        return Page(found, self.finished_at is not None)

    def _drop_oldest(self) -> None:
        self.size -= len(self._events.popleft().data)
