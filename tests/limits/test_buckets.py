"""Token buckets."""

from mcpd.limits.buckets import Bucket


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
    bucket = Bucket(0.0, 1, 0.0)
    assert bucket.consume(0.0) == 0.0
    assert bucket.consume(1e9) > 0
