"""Deadlines that cost nothing until they are due.

A Trio cancel scope for every wait of every request costs more than the request's own
bookkeeping. Here each connection stands in one slot of a wheel and moves only when its next
deadline comes earlier than its slot; a deadline that moves later is noticed when the slot comes
up. With nothing armed nothing runs.
"""

import logging
from heapq import heappop, heappush
from math import inf

import trio

TICK_S = 0.05  # deadlines are kept to this many seconds, never early
NEVER = 1 << 62

log = logging.getLogger("mcpd.http")


class Timed:
    """Something with a deadline. ``on_due`` is called without awaiting, once for each arming."""

    __slots__ = ("due", "looked_at", "slot")

    def __init__(self) -> None:
        self.due = inf
        self.slot = NEVER
        self.looked_at = inf  # a deadline before this moment needs an earlier slot

    def on_due(self, now: float) -> None:
        """The deadline has passed; arm again from here if there is a next one."""
        raise NotImplementedError


class Timers:
    """The wheel. One task, ``run``, owns it; everything else is plain calls from the same loop."""

    def __init__(self) -> None:
        self._slots: dict[int, set[Timed]] = {}
        self._order: list[int] = []
        self._sleeping_for = NEVER
        self._wake = trio.Event()

    def arm(self, item: Timed, due: float) -> None:
        """Call ``item.on_due`` at ``due`` (Trio clock, seconds); replaces what was armed."""
        item.due = due
        if due < item.looked_at:  # else it is looked at before, and then moves on
            self._move(item, int(due / TICK_S) + 1)

    def forget(self, item: Timed) -> None:
        """Take an item out."""
        item.due = inf
        self._remove(item)

    def _remove(self, item: Timed) -> None:
        items = self._slots.get(item.slot)  # None: not armed, or its slot is being turned
        if items is not None:
            items.discard(item)
        item.slot, item.looked_at = NEVER, inf

    def _move(self, item: Timed, slot: int) -> None:
        if slot == item.slot:
            return
        self._remove(item)
        item.slot, item.looked_at = slot, (slot - 1) * TICK_S
        items = self._slots.get(slot)
        if items is None:
            items = self._slots[slot] = set()
            heappush(self._order, slot)
        items.add(item)
        if slot < self._sleeping_for:
            self._wake.set()

    async def run(self) -> None:
        """Turn the wheel for ever."""
        while True:
            self._sleeping_for = self._order[0] if self._order else NEVER
            self._wake = trio.Event()
            deadline = self._sleeping_for * TICK_S if self._order else inf
            with trio.move_on_at(deadline):
                await self._wake.wait()
            self._sleeping_for = -1
            self._turn(trio.current_time())

    def _turn(self, now: float) -> None:
        while self._order and self._order[0] * TICK_S <= now:
            for item in self._slots.pop(heappop(self._order)):
                item.slot, item.looked_at = NEVER, inf
                if item.due <= now:
                    item.due = inf
                    self._fire(item, now)
                else:
                    self.arm(item, item.due)

    def _fire(self, item: Timed, now: float) -> None:
        """The wheel carries the deadlines of all connections: one item's fault must not stop it."""
        try:
            item.on_due(now)
        except Exception:
            log.exception("a deadline could not be acted on")
