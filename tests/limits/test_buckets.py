"""Token buckets and the limits that are made of them."""

import pytest

from mcpd.errors import TooManyRequests
from mcpd.limits.buckets import Bucket, Buckets
from mcpd.limits.policy import make_limits


def test_a_burst_is_allowed_and_then_the_rate():
    bucket = Bucket(2.0, 3, 0.0)
    assert [bucket.consume(0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.consume(0.0) == 0.5
    assert bucket.consume(0.5) == 0.0


def test_a_clock_that_is_set_back_takes_nothing_away():
    bucket = Bucket(1.0, 2, 1000.0)
    bucket.consume(1000.0)
    assert bucket.consume(10.0) == 0.0  # the second of the burst
    assert bucket.consume(10.0) == 1.0
    assert bucket.consume(11.0) == 0.0


def test_a_rate_of_nothing_names_a_time_all_the_same():
    buckets = Buckets(per_minute=0, burst=1)
    assert buckets.consume("a", 0.0) == 0.0
    assert buckets.consume("a", 1e9) > 0
    assert buckets.consume("b", 0.0) == 0.0


def test_keys_do_not_grow_without_a_bound(monkeypatch):
    monkeypatch.setattr("mcpd.limits.buckets.MAX_KEYS", 3)
    buckets = Buckets(per_minute=1, burst=1)
    for number in range(10):
        buckets.consume(str(number), 0.0)
    assert len(buckets._buckets) == 3


def test_a_refusal_says_when_and_which_setting():
    limits = make_limits(calls_per_minute=60)
    for _ in range(6):  # a tenth of the minute, at once
        limits.calls.check("alice", 0.0)
    with pytest.raises(TooManyRequests) as caught:
        limits.calls.check("alice", 0.0)
    assert "calls_per_minute" in caught.value.fix
    assert caught.value.headers == ((b"retry-after", b"1"),)
    limits.calls.check("bob", 0.0)
