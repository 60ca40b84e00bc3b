"""Counting in windows: what a limit lets through, whenever it is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.limits.rules import DAY_S, MINUTE_S, LimitRules, Rule, ToolLimits, UserLimits, combined
from mcpd.limits.windows import Window, give_back, moved, take

TEN = Rule("calls_per_minute", 10, MINUTE_S, "calls")
DAILY = Rule("calls_per_day", 10, DAY_S, "calls")


def used_up(rule, *moments):
    """How many of these moments were let through, one each."""
    window, granted = Window(), []
    for now in moments:
        window, grant = take(window, rule, 1, 1, now)
        granted.append(bool(grant.amount))
    return granted


def test_as_many_as_it_says_and_no_more():
    assert used_up(TEN, *[1000.0] * 11) == [True] * 10 + [False]


def test_no_minute_has_more_wherever_it_begins():
    begin = 60.0 * 100
    assert sum(used_up(TEN, *[begin + 59.9] * 10, *[begin + 60.1] * 10)) == 10
    assert sum(used_up(TEN, *[begin + 59.9] * 10, *[begin + 113] * 10)) == 10
    assert sum(used_up(TEN, *[begin + 59.9] * 10, *[begin + 119.9] * 10)) == 20
    assert sum(used_up(TEN, *[begin + 10] * 5, *[begin + 40] * 5, *[begin + 75] * 10)) == 15


def test_a_day_is_one_of_utc():
    midnight = DAY_S * 20_000
    assert sum(used_up(DAILY, *[midnight - 1] * 11, *[midnight] * 11)) == 20
    _, grant = take(Window(20_000, (10.0,)), DAILY, 1, 1, midnight + 3600)
    assert grant.wait_s == DAY_S - 3600


@given(
    st.lists(st.floats(0, 600), min_size=1, max_size=60).map(sorted),
    st.integers(1, 12),
)
def test_after_the_wait_it_is_there(moments, amount):
    rule = Rule("r", amount, MINUTE_S, "calls")
    window = Window()
    for now in moments:
        window, grant = take(window, rule, 1, 1, 6000 + now)
        if not grant.amount:
            assert 0 < grant.wait_s <= 61
            _, later = take(window, rule, 1, 1, 6000 + now + grant.wait_s + 0.002)
            assert later.amount == 1


@given(st.lists(st.floats(0, 50), min_size=1, max_size=80), st.integers(1, 20))
def test_no_57_seconds_have_more_than_the_amount(steps, amount):
    rule, window, now = Rule("r", amount, MINUTE_S, "calls"), Window(), 6000.0
    passed = []
    for step in steps:
        now += step / 10
        window, grant = take(window, rule, 1, 1, now)
        passed += [now] * int(grant.amount)
    for begin in passed:
        assert sum(begin <= moment < begin + 57 for moment in passed) <= amount


def test_parts_are_whole_and_what_is_not_used_comes_back():
    window, grant = take(Window(), TEN, 1, 4, 6000.0)
    assert grant.amount == 4
    window = give_back(window, TEN, 3, 6001.0)
    assert sum(window.counts) == 1
    window, grant = take(window, TEN, 1, 100, 6001.0)
    assert grant.amount == 9
    assert take(window, TEN, 1, 1, 6001.0)[1].amount == 0
    assert sum(give_back(window, TEN, 50, 6061.0).counts) == 0


def test_more_than_there_can_ever_be_is_refused_for_a_whole_period():
    _, grant = take(Window(), TEN, 11, 11, 6000.0)
    assert grant == (0.0, 60.0, 60.0)


@pytest.mark.parametrize(
    ("now", "number", "counts"),
    [
        (6000.0, 2000, (1.0, 5.0)),
        (5990.0, 2000, (1.0, 5.0)),  # a clock that is behind gives nothing away
        (600.0, 2000, (1.0, 5.0)),
        (6003.0, 2001, (1.0, 5.0, 0.0)),
        (6054.0, 2018, (1.0, 5.0, *[0.0] * 18)),
        (6057.0, 2019, (5.0, *[0.0] * 19)),
        (6060.0, 2020, (0.0,)),
    ],
)
def test_windows_move_on_with_the_clock(now, number, counts):
    assert moved(Window(2000, (1.0, 5.0)), TEN, now) == Window(number, counts)


def test_roles_count_before_the_base_and_the_most_generous_of_them():
    base = LimitRules(calls_per_minute=10, calls_per_day=100, tools={"a": ToolLimits(1)})
    roles = [
        LimitRules(calls_per_minute=5),
        LimitRules(calls_per_minute=7, tools={"a": ToolLimits(2, 9), "b*": ToolLimits(3)}),
    ]
    assert combined(base, roles) == LimitRules(
        calls_per_minute=7,
        calls_per_day=100,
        tools={"a": ToolLimits(2, 9), "b*": ToolLimits(3)},
    )
    assert combined(base, []) == base


def test_a_call_is_counted_by_every_rule_that_names_its_tool():
    tools = {"get_*": ToolLimits(calls_per_minute=5), "*_all": ToolLimits(calls_per_day=7)}
    user = UserLimits(LimitRules(calls_per_minute=9, tools=tools))
    assert [rule.amount for rule in user.calls_of("get_all")] == [9, 5, 7]
    assert [rule.amount for rule in user.calls_of("get_one")] == [9, 5]
    assert [rule.amount for rule in user.calls_of("put")] == [9]
    assert user.calls_of("get_one")[1].name == "tools.get_*.calls_per_minute"


@pytest.mark.parametrize(
    ("rules", "wrong"),
    [
        (LimitRules(), ""),
        (LimitRules(calls_per_minute=0), "calls_per_minute"),
        (LimitRules(calls_at_once=-1), "calls_at_once"),
        (LimitRules(bytes_per_day=float("inf")), "bytes_per_day"),
        (LimitRules(tools={"x": ToolLimits(0)}), "tools.x"),
        (LimitRules(tools={"a\nb": ToolLimits(1)}), "tools.'a\\nb'"),
    ],
)
def test_limits_that_are_none_are_named(rules, wrong):
    assert rules.wrong() == wrong
