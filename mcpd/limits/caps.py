"""How much there may be at once: a table of caps, and the counters that keep them.

A cap counts by key: a principal where there is one, else an address. No few keys can take all of
it: a key beyond the rule's ``floor`` gets at most a part (``share``) of what is free, so the fuller
it is the less one key gets, and the last of it is for those that have little.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mcpd.errors import TooManyRequests, Unavailable

RETRY_AFTER_S = 5  # told with a refusal: long enough to spare us, short enough for a person
KiB = 1024
MiB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CapRule:
    """One row of the table.

    Attributes:
        name: of the row, and the start of its settings' names.
        unit: what is counted, as a client is told of it.
        each: for one key.
        in_all: for all keys together.
        floor: a key may have this much while it is there at all.
        share: beyond it a key gets 1/share of what is free. 8: of what there is, ten greedy keys
            leave a third, and fifty are needed to fill it.
        each_setting, all_setting: which settings change it; empty: none does.
        reason: why these numbers.
        advice: what a client that was refused can do.
    """

    name: str
    unit: str
    each: int
    in_all: int
    floor: int
    reason: str
    advice: str
    each_setting: str = ""
    all_setting: str = ""
    share: int = 8


CALLS = CapRule(
    "calls",
    "calls that run in sessions",
    each=400,
    in_all=4096,
    floor=16,
    each_setting="max_calls_per_user",
    all_setting="max_calls",
    reason="Such a call goes on when its client leaves, so connections do not bound it. Half of"
    " max_connections; a host with ten agents has some dozens at once.",
    advice="Wait until some are done, or cancel them with notifications/cancelled",
)
ARGUMENTS = CapRule(
    "arguments",
    "bytes of params of calls that run in sessions",
    each=64 * MiB,
    in_all=256 * MiB,
    floor=4 * MiB,
    share=2,
    reason="They stay in memory as long as the call runs, which may be long after its connection.",
    advice="Send less at once, or wait until some calls are done",
)
STREAMS = CapRule(
    "streams",
    "event streams without an end",
    each=256,
    in_all=4096,
    floor=4,
    each_setting="max_streams_per_user",
    all_setting="max_streams",
    reason="A client has one or two, for as long as it runs; each holds a connection. As many as"
    " max_connections_per_address, and half of max_connections.",
    advice="Close some that you hold open",
)
WATCHED = CapRule(
    "watched URIs",
    "bytes of URIs and task ids in subscriptions/listen",
    each=4 * MiB,
    in_all=64 * MiB,
    floor=64 * KiB,
    reason="Sixteen subscriptions of the largest size. A client watches what it shows: tens of"
    " URIs of some hundred bytes.",
    advice="Listen to fewer resources",
)
TASKS = CapRule(
    "tasks",
    "tasks that are kept",
    each=1000,
    in_all=10_000,
    floor=10,
    each_setting="max_tasks_per_user",
    all_setting="max_tasks",
    reason="A task is kept for its time to live, an hour, with about 2 kB beside its result.",
    advice="Wait for some to expire, or ask for a shorter time to live",
)
TASK_RESULTS = CapRule(
    "task results",
    "bytes of results that tasks keep",
    each=64 * MiB,
    in_all=256 * MiB,
    floor=1 * MiB,
    share=2,
    reason="They stay in memory until the task expires.",
    advice="Wait for some tasks to expire, or have the tool return less",
)
BODIES = CapRule(
    "bodies",
    "bytes of request bodies in memory",
    each=32 * MiB,
    in_all=128 * MiB,
    floor=4 * MiB,
    share=2,
    all_setting="max_body_memory_bytes",
    reason="Thirty-two bodies of the default max_body_bytes at once, eight of them from one user."
    " A user's part is a quarter of all.",
    advice="Send fewer large requests at once",
)
RULES = (CALLS, ARGUMENTS, STREAMS, WATCHED, TASKS, TASK_RESULTS, BODIES)
SETTINGS = tuple(name for rule in RULES for name in (rule.each_setting, rule.all_setting) if name)
MAX_RESULT_BYTES = 8 * MiB  # of one result: more than a model reads, less than a stream may keep


class Cap:
    """How much of one thing there is, by key. Not thread-safe: it belongs to the event loop."""

    def __init__(self, rule: CapRule) -> None:
        self.rule = rule
        self.total = 0
        self._taken: dict[str, int] = {}

    def taken(self, key: str) -> int:
        """How much a key has."""
        return self._taken.get(key, 0)

    def take(self, key: str, amount: int = 1, *, each: int | None = None) -> None:
        """Count so much more for a key.

        Args:
            each: the most of this key; None: as of any.

        Raises:
            TooManyRequests: the key has its part.
            Unavailable: there is too little left for it. Both with Retry-After.
        """
        if not amount:
            return
        rule, mine = self.rule, self._taken.get(key, 0)
        free = rule.in_all - self.total
        setting = rule.each_setting or rule.all_setting
        if each is None:
            each = rule.each
        else:
            setting = f"the limit {rule.name}_at_once"
        if mine + amount > each:
            raise TooManyRequests(
                f"You have {each} {rule.unit} already, as many as one user may have.",
                fix=_fix(rule, setting),
                data={"limit": setting.removeprefix("the limit ")},
                headers=_RETRY,
            )
        if amount > free or mine + amount > max(rule.floor, free // rule.share):
            raise Unavailable(
                f"This server has nearly all of its {rule.in_all} {rule.unit}.",
                fix=_fix(rule, rule.all_setting),
                headers=_RETRY,
            )
        self.total += amount
        self._taken[key] = mine + amount

    def give_back(self, key: str, amount: int = 1) -> None:
        """What was taken is not there any more."""
        if not amount:
            return
        self.total -= amount
        left = self._taken[key] - amount
        if left:
            self._taken[key] = left
        else:
            del self._taken[key]

    @contextmanager
    def hold(self, key: str, amount: int = 1, *, each: int | None = None) -> Iterator[None]:
        """Count so much more inside.

        Args:
            each: see ``take``.

        Raises:
            TooManyRequests, Unavailable: see ``take``.
        """
        self.take(key, amount, each=each)
        try:
            yield
        finally:
            self.give_back(key, amount)


_RETRY = ((b"retry-after", b"%d" % RETRY_AFTER_S),)


def _fix(rule: CapRule, setting: str) -> str:
    return f"{rule.advice}, or raise {setting}." if setting else f"{rule.advice}."


class Caps:
    """The caps of one server, made of the table.

    Args:
        given: other numbers for rows, by the names of their settings. A user's part that has no
            setting of its own keeps its proportion to the whole.
        max_body_bytes: every user may send one body of this size.
    """

    def __init__(self, *, max_body_bytes: int = 4 * MiB, **given: int) -> None:
        self.calls = Cap(_with_settings(CALLS, given))
        self.arguments = Cap(_with_floor(_with_settings(ARGUMENTS, given), max_body_bytes))
        self.streams = Cap(_with_settings(STREAMS, given))
        self.watched = Cap(_with_settings(WATCHED, given))
        self.tasks = Cap(_with_settings(TASKS, given))
        self.task_results = Cap(_with_settings(TASK_RESULTS, given))
        self.bodies = Cap(_with_floor(_with_settings(BODIES, given), max_body_bytes))


def _with_floor(rule: CapRule, floor: int) -> CapRule:
    """The row with room for one of this size at least."""
    return replace(rule, each=max(rule.each, floor), in_all=max(rule.in_all, floor), floor=floor)


def _with_settings(rule: CapRule, given: dict[str, int]) -> CapRule:
    in_all = given.get(rule.all_setting, rule.in_all)
    if rule.each_setting:
        each = given.get(rule.each_setting, rule.each)
    else:
        each = rule.each * in_all // rule.in_all
    return replace(rule, each=each, in_all=in_all)
