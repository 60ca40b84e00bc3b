"""Counting in windows of time: the arithmetic of every store. Pure: time is an argument.

Of a rule that slides, what the last window counted weighs as much as it overlaps with the period
that ends now. So no period has more than the amount, as far as the last window was even.
"""

import math
from typing import NamedTuple

from mcpd.limits.rules import Rule


class Window(NamedTuple):
    """What is kept for one key of one rule.

    Attributes:
        number: of the window, from the epoch on.
        used: in it.
        before: in the window before it.
    """

    number: int = 0
    used: float = 0.0
    before: float = 0.0


class Grant(NamedTuple):
    """What came of asking.

    Attributes:
        amount: that may be used; 0: not even the least that was asked.
        wait_s: until there will be that much; 0: it is there.
        left_s: until the window ends, after which a grant holds no more.
    """

    amount: float
    wait_s: float
    left_s: float


def moved(window: Window, rule: Rule, now: float) -> Window:
    """The window of ``now`` (Unix seconds). A clock that is a little behind stays in the newest
    window; one that was set back takes along what was used.
    """
    number = math.floor(now / rule.period_s)
    if number < window.number - 1:
        return Window(number, window.used, 0.0)
    if number <= window.number:
        return window
    before = window.used if number == window.number + 1 else 0.0
    return Window(number, 0.0, before)


def take(window: Window, rule: Rule, least: float, most: float, now: float) -> tuple[Window, Grant]:
    """Take as much as there is, from ``least`` to ``most``; 0 <= least <= most."""
    window = moved(window, rule, now)
    passed_s = min(max(now - window.number * rule.period_s, 0.0), rule.period_s)
    left_s = rule.period_s - passed_s
    weight = left_s / rule.period_s if rule.slides else 0.0
    free = rule.amount - window.used - window.before * weight
    if least <= free:
        amount = max(least, min(most, math.floor(free)))
        return window._replace(used=window.used + amount), Grant(amount, 0.0, left_s)
    return window, Grant(0.0, _wait_s(window, rule, least, left_s), left_s)


def _wait_s(window: Window, rule: Rule, least: float, left_s: float) -> float:
    """Until ``least`` is free, if nothing else is taken."""
    if least > rule.amount:
        return rule.period_s
    if not rule.slides:
        return left_s
    room = rule.amount - least - window.used
    if window.before > 0 and room >= 0:
        return max(left_s - rule.period_s * room / window.before, 0.001)
    # Then what was used in this window is the one before, and weighs less and less.
    over = 1.0 - (rule.amount - least) / window.used if window.used else 0.0
    return left_s + rule.period_s * max(over, 0.0)


def give_back(window: Window, rule: Rule, amount: float, now: float) -> Window:
    """What was taken in this window and not used."""
    window = moved(window, rule, now)
    return window._replace(used=max(0.0, window.used - amount))
