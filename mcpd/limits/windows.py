"""Counting in windows of time: the arithmetic of every store. Pure: time is an argument.

A rule that slides has SLOTS windows in its period: what is older than the period, less one of them,
does not count. So no period has more than the amount, but for a twentieth of its length.
"""

import math
from typing import NamedTuple

from mcpd.limits.rules import Rule

SLOTS = 20


class Window(NamedTuple):
    """What is kept for one key of one rule.

    Attributes:
        number: of the newest slot that was used, from the epoch on.
        counts: what was used in it and in those before, the oldest first.
    """

    number: int = 0
    counts: tuple[float, ...] = ()


class Grant(NamedTuple):
    """What came of asking.

    Attributes:
        amount: that may be used; 0: not even the least that was asked.
        wait_s: until there will be that much; 0: it is there.
        holds_s: after which a grant holds no more.
    """

    amount: float
    wait_s: float
    holds_s: float


def slots_of(rule: Rule) -> int:
    """In one period."""
    return SLOTS if rule.slides else 1


def moved(window: Window, rule: Rule, now: float) -> Window:
    """The window of ``now`` (Unix seconds). A clock that is behind others stays in the newest slot:
    of processes whose clocks differ none gives away what another has counted.
    """
    slots = slots_of(rule)
    number = math.floor(now * slots / rule.period_s)
    passed = number - window.number
    if passed <= 0 and window.counts:
        return window
    if passed >= slots or not window.counts:
        return Window(number, (0.0,))
    return Window(number, (*window.counts, *(0.0,) * passed)[-slots:])


def take(window: Window, rule: Rule, least: float, most: float, now: float) -> tuple[Window, Grant]:
    """Take as much as there is, from ``least`` to ``most``; 0 <= least <= most."""
    window = moved(window, rule, now)
    slot_s = rule.period_s / slots_of(rule)
    left_s = min(max((window.number + 1) * slot_s - now, 0.001), slot_s)
    holds_s = left_s + rule.period_s - slot_s  # as long as it is counted
    free = rule.amount - sum(window.counts)
    if least <= free:
        amount = max(least, min(most, math.floor(free)))
        counts = (*window.counts[:-1], window.counts[-1] + amount)
        return Window(window.number, counts), Grant(amount, 0.0, holds_s)
    return window, Grant(0.0, _wait_s(window, rule, least - free, left_s), holds_s)


def _wait_s(window: Window, rule: Rule, needed: float, left_s: float) -> float:
    """Until so much of what was used counts no more."""
    slots = slots_of(rule)
    slot_s = rule.period_s / slots
    age = slots - len(window.counts)  # slots until the oldest of them goes, after this one
    for count in window.counts:
        needed -= count
        if needed <= 1e-9:
            return left_s + age * slot_s
        age += 1
    return rule.period_s  # more than the rule ever has


def give_back(window: Window, rule: Rule, amount: float, now: float) -> Window:
    """What was taken and not used. The oldest slots give first: they would be free first."""
    window = moved(window, rule, now)
    counts = []
    for count in window.counts:
        given = min(count, amount)
        amount -= given
        counts.append(count - given)
    return Window(window.number, tuple(counts))
