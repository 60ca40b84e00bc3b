"""Turns by user, round and round."""

import pytest
import trio

from mcpd.limits.fair_limiter import FairLimiter

current = ["a"]


def user():
    return current[0]


async def queue(limiter, nursery, who, number, order):
    """So many tasks of a user that wait, in this order."""

    async def run(name):
        token = object()
        await limiter.acquire_on_behalf_of(token)
        order.append(name)
        limiter.release_on_behalf_of(token)

    current[0] = who
    for place in range(number):
        nursery.start_soon(run, f"{who}{place}")
        await trio.testing.wait_all_tasks_blocked()


async def test_one_call_of_another_user_is_next_but_one():
    limiter, order, held = FairLimiter(1, user), [], object()
    await limiter.acquire_on_behalf_of(held)
    async with trio.open_nursery() as nursery:
        await queue(limiter, nursery, "a", 3, order)
        await queue(limiter, nursery, "b", 2, order)
        await queue(limiter, nursery, "c", 1, order)
        assert limiter.statistics() == (1, 6)
        limiter.release_on_behalf_of(held)
    assert order == ["a0", "b0", "c0", "a1", "b1", "a2"]
    assert limiter.statistics() == (0, 0)


async def test_no_more_run_than_may_and_none_is_overtaken():
    limiter, running, most = FairLimiter(2, user), 0, 0

    async def run():
        nonlocal running, most
        token = object()
        await limiter.acquire_on_behalf_of(token)
        running += 1
        most = max(most, running)
        await trio.lowlevel.checkpoint()
        running -= 1
        limiter.release_on_behalf_of(token)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(run)
    assert most == 2


async def test_what_is_cancelled_while_it_waits_has_no_turn():
    limiter, held = FairLimiter(1, user), object()
    await limiter.acquire_on_behalf_of(held)
    with trio.move_on_after(0.01):
        await limiter.acquire_on_behalf_of(object())
    assert limiter.statistics() == (1, 0)
    limiter.release_on_behalf_of(held)
    with trio.CancelScope() as scope:
        scope.cancel()
        await limiter.acquire_on_behalf_of(object())
    assert limiter.statistics() == (0, 0)


async def test_threads_take_it_for_a_limiter_of_trios():
    limiter = FairLimiter(1, user)
    assert await trio.to_thread.run_sync(lambda: 5, limiter=limiter) == 5
    assert limiter.statistics() == (0, 0)
    with pytest.raises(KeyError):
        limiter.release_on_behalf_of(object())


async def test_one_user_does_not_take_all_turns():
    limiter, mine = FairLimiter(8, user), [object() for _ in range(8)]
    current[0] = "greedy"
    for token in mine[:7]:
        await limiter.acquire_on_behalf_of(token)
    with trio.move_on_after(0.01) as waited:
        await limiter.acquire_on_behalf_of(mine[7])
    assert waited.cancelled_caught
    current[0] = "other"
    with trio.fail_after(1):
        await limiter.acquire_on_behalf_of(object())
    assert limiter.statistics() == (8, 0)
