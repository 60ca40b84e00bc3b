"""Limits of users as the configuration says them, and as they are counted. Pure."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from mcpd.patterns import fits

MINUTE_S = 60.0
DAY_S = 86_400.0
MAX_LIMIT = 1e12


class ToolLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the calls of one tool, or of all that one pattern names, together."""

    calls_per_minute: float | None = None
    calls_per_day: float | None = None


class LimitRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one user may do how often. None: it is not limited.

    Attributes:
        requests_per_minute: HTTP requests to an MCP endpoint; where there is no user, of an
            address, as far as its credentials are refused.
        sessions_per_minute: that are begun.
        calls_per_minute, calls_per_day: of tools, and completions.
        bytes_per_day: of request bodies.
        calls_at_once: that run in one process.
        streams_at_once: without an end, in one process.
        tools: the same for calls of some tools: from a pattern of names to their limits.
    """

    requests_per_minute: float | None = None
    sessions_per_minute: float | None = None
    calls_per_minute: float | None = None
    calls_per_day: float | None = None
    bytes_per_day: float | None = None
    calls_at_once: int | None = None
    streams_at_once: int | None = None
    tools: dict[str, ToolLimits] = {}

    def wrong(self) -> str:
        """The name of a limit that is none; empty: all are."""
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and not 0 < value <= MAX_LIMIT:
                return name
        for pattern, limits in self.tools.items():
            for value in (limits.calls_per_minute, limits.calls_per_day):
                if value is not None and not 0 < value <= MAX_LIMIT:
                    return f"tools.{pattern}"
            if not pattern.isprintable() or not pattern.isascii():
                return f"tools.{pattern!r}"
        return ""


NO_LIMITS = LimitRules()
_NUMBERS = tuple(name for name in LimitRules.__struct_fields__ if name != "tools")


def combined(base: LimitRules, roles: Sequence[LimitRules]) -> LimitRules:
    """The limits of a user with these roles: what some role says counts before the base, and of
    several roles the most generous one.
    """
    changes: dict[str, object] = {}
    for name in _NUMBERS:
        given = [value for rules in roles if (value := getattr(rules, name)) is not None]
        if given:
            changes[name] = max(given)
    tools = dict(base.tools)
    for pattern in {pattern for rules in roles for pattern in rules.tools}:
        tools[pattern] = _most(rules.tools[pattern] for rules in roles if pattern in rules.tools)
    return msgspec.structs.replace(base, **changes, tools=tools)


def _most(limits: Iterable[ToolLimits]) -> ToolLimits:
    some = list(limits)
    minute = [one.calls_per_minute for one in some if one.calls_per_minute is not None]
    day = [one.calls_per_day for one in some if one.calls_per_day is not None]
    return ToolLimits(max(minute, default=None), max(day, default=None))


class Rule(msgspec.Struct, frozen=True):
    """So much in a time, for each key.

    Attributes:
        name: of the limit, as the configuration has it.
        amount: in one period.
        period_s: a minute: of any minute; a day: of a day of UTC.
        unit: what is counted, as a client is told of it.
    """

    name: str
    amount: float
    period_s: float
    unit: str

    @property
    def slides(self) -> bool:
        """Whether it holds for any period, not for those of the calendar alone."""
        return self.period_s < DAY_S


class UserLimits:
    """The rules that one user's requests are counted by; made once for all who have the same.

    Attributes:
        rules: as they were configured.
        requests, sessions, calls, bytes: what is counted for each.
    """

    def __init__(self, rules: LimitRules) -> None:
        self.rules = rules
        self.requests = _rule("requests_per_minute", rules.requests_per_minute, "requests")
        self.sessions = _rule("sessions_per_minute", rules.sessions_per_minute, "sessions begun")
        self.bytes = _rule("bytes_per_day", rules.bytes_per_day, "bytes of requests")
        self.calls = (
            *_rule("calls_per_minute", rules.calls_per_minute, "calls"),
            *_rule("calls_per_day", rules.calls_per_day, "calls"),
        )
        self.has_tools = bool(rules.tools)
        self.calls_of = lru_cache(maxsize=1024)(self._calls_of)

    def _calls_of(self, tool: str) -> tuple[Rule, ...]:
        """What a call of this tool is counted by."""
        found: list[Rule] = list(self.calls)
        for pattern, limits in self.rules.tools.items():
            if fits(tool, pattern):
                where, unit = f"tools.{pattern}", f"calls of {pattern}"
                found += _rule(f"{where}.calls_per_minute", limits.calls_per_minute, unit)
                found += _rule(f"{where}.calls_per_day", limits.calls_per_day, unit)
        return tuple(found)


def _rule(name: str, amount: float | None, unit: str) -> tuple[Rule, ...]:
    if amount is None:
        return ()
    return (Rule(name, amount, DAY_S if name.endswith("per_day") else MINUTE_S, unit),)
