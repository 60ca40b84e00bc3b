"""Caps on what is there at once."""

from dataclasses import replace

import pytest

from mcpd.errors import TooManyRequests, Unavailable
from mcpd.limits.caps import CALLS, RULES, Cap, Caps

RULE = replace(CALLS, each=100, in_all=1000, floor=2)


def take_all(cap: Cap, key: str) -> int:
    """As much as a key gets, one by one."""
    taken = 0
    while True:
        try:
            cap.take(key)
        except (TooManyRequests, Unavailable):
            return taken
        taken += 1


def test_one_key_gets_its_part_and_is_told_the_setting():
    cap = Cap(RULE)
    for _ in range(RULE.each):
        cap.take("alice")
    with pytest.raises(TooManyRequests) as caught:
        cap.take("alice")
    assert "100 calls" in caught.value.message
    assert "max_calls_per_user" in caught.value.fix
    assert dict(caught.value.headers)[b"retry-after"] == b"5"
    cap.take("bob")


def test_no_few_keys_take_all_of_it():
    cap = Cap(RULE)
    for number in range(10):
        take_all(cap, f"greedy {number}")
    assert cap.total < RULE.in_all * 3 // 4
    assert take_all(cap, "modest") >= RULE.floor


def test_what_is_full_is_a_503_that_names_the_setting_for_all():
    cap = Cap(replace(RULE, floor=1))
    keys = 0
    while take_all(cap, str(keys)):
        keys += 1
    assert cap.total == RULE.in_all
    with pytest.raises(Unavailable) as caught:
        cap.take("late")
    assert caught.value.status == 503
    assert "max_calls." in caught.value.fix


def test_what_is_given_back_is_there_again_and_no_key_stays():
    cap = Cap(RULE)
    with cap.hold("alice", 7):
        assert (cap.total, cap.taken("alice")) == (7, 7)
    with pytest.raises(TooManyRequests), cap.hold("alice", 101):
        raise AssertionError("not reached")
    assert (cap.total, cap.taken("alice"), cap._taken) == (0, 0, {})


def test_settings_replace_the_numbers_of_their_rows():
    caps = Caps(max_calls_per_user=3, max_body_memory_bytes=64 * 1024 * 1024)
    assert (caps.calls.rule.each, caps.calls.rule.in_all) == (3, CALLS.in_all)
    assert caps.bodies.rule.each == 16 * 1024 * 1024  # in proportion
    assert caps.tasks.rule.each == 1000


def test_one_body_of_the_largest_size_always_fits():
    caps = Caps(max_body_bytes=2**30, max_body_memory_bytes=1)
    with caps.bodies.hold("alice", 2**30):
        pass


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_row_says_why_and_one_user_does_not_reach_the_whole(rule):
    assert rule.reason
    assert rule.advice
    cap = Cap(replace(rule, floor=1))
    cap.take("alice", rule.each)  # its part is there as long as nothing else is
    assert rule.floor <= rule.each <= rule.in_all // 4
