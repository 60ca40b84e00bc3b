"""What a process may let through without asking, and what becomes of it."""

import pytest
import trio

from mcpd.errors import StoreError, TooManyRequests
from mcpd.limits.allowances import ANSWER_S, RETURN_EVERY_S, Allowances
from mcpd.limits.ledger import MemoryLedger
from mcpd.limits.policy import make_limits
from mcpd.limits.rules import DAY_S, MINUTE_S, Rule

CALLS = Rule("calls_per_minute", 1000, MINUTE_S, "calls")


def now():
    return 6000.0 + trio.current_time()


class Counted(MemoryLedger):
    """A ledger that knows how often it was asked, and can be away."""

    def __init__(self):
        super().__init__(now)
        self.asked = 0
        self.is_away = False

    async def take(self, key, rule, least, most):
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.is_away:
            raise StoreError("away")
        return await super().take(key, rule, least, most)


async def let_through(allowances, key, rule, tries):
    return [await allowances.take(key, rule) for _ in range(tries)].count(0.0)


@pytest.fixture
def ledger():
    return Counted()


async def test_asking_is_seldom_and_the_limit_exact(autojump_clock, ledger):
    allowances = Allowances(ledger, clock=now)
    assert await let_through(allowances, "a", CALLS, 1500) == 1000
    assert ledger.asked <= 1000 / 20 + 2
    asked = ledger.asked
    assert await let_through(allowances, "a", CALLS, 1000) == 0
    assert ledger.asked == asked  # a flood of what is refused costs nothing
    assert await let_through(allowances, "b", CALLS, 1) == 1


async def test_two_processes_let_through_what_one_would(autojump_clock, ledger):
    one, other = (Allowances(ledger, processes=2, clock=now) for _ in range(2))
    counts = [await let_through(each, "a", CALLS, 3) for _ in range(400) for each in (one, other)]
    assert 980 <= sum(counts) <= 1000


async def test_a_process_that_dies_takes_a_small_part_along(autojump_clock, ledger):
    for _ in range(3):
        await let_through(Allowances(ledger, clock=now), "a", CALLS, 5)
    survivor = Allowances(ledger, clock=now)
    assert 1000 - 15 - 60 <= await let_through(survivor, "a", CALLS, 2000) <= 1000 - 15


async def test_what_is_not_used_goes_back(autojump_clock, ledger):
    idle, busy = Allowances(ledger, clock=now), Allowances(ledger, clock=now)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(idle.run)
        assert await let_through(idle, "a", CALLS, 1) == 1
        await trio.sleep(2 * RETURN_EVERY_S + 1)
        assert await let_through(busy, "a", CALLS, 2000) == 999
        nursery.cancel_scope.cancel()


async def test_a_small_limit_is_asked_for_each_time(autojump_clock, ledger):
    three = Rule("calls_per_day", 3, DAY_S, "calls")
    one, other = Allowances(ledger, clock=now), Allowances(ledger, clock=now)
    assert await let_through(one, "a", three, 1) == 1
    assert await let_through(other, "a", three, 5) == 2
    assert await let_through(one, "a", three, 5) == 0


async def test_many_at_once_take_one_part_after_the_other(autojump_clock, ledger):
    allowances, passed = Allowances(ledger, clock=now), []

    async def call():
        passed.append(await allowances.take("a", CALLS) == 0.0)

    async with trio.open_nursery() as nursery:
        for _ in range(1200):
            nursery.start_soon(call)
    assert passed.count(True) == 1000
    assert ledger.asked <= 1000 / 20 + 2


async def test_while_the_ledger_is_away_each_process_counts_by_itself(
    autojump_clock, ledger, caplog
):
    ledger.is_away = True
    allowances = Allowances(ledger, clock=now)
    assert await let_through(allowances, "a", CALLS, 1500) == 1000
    assert caplog.messages == ["limits are counted by each process alone: away"]


async def test_a_part_does_not_outlive_its_window(autojump_clock, ledger):
    daily = Rule("calls_per_day", 100, DAY_S, "calls")
    allowances = Allowances(ledger, clock=now)
    assert await let_through(allowances, "a", daily, 101) == 100
    await trio.sleep(DAY_S)
    assert await let_through(allowances, "a", daily, 101) == 100


async def test_a_refusal_says_which_limit_and_when(autojump_clock):
    limits = make_limits(clock=now)
    rules = (Rule("calls_per_day", 5, DAY_S, "calls"), Rule("calls_per_minute", 2, 60.0, "calls"))
    told = []
    limits.on_refusal.append(told.append)
    for _ in range(2):
        await limits.count("a", rules)
    with pytest.raises(TooManyRequests) as caught:
        await limits.count("a", rules)
    headers = dict(caught.value.headers)
    assert headers[b"ratelimit-policy"] == b'"calls_per_minute";q=2;w=60'
    assert headers[b"ratelimit"] == b'"calls_per_minute";r=0;t=%s' % headers[b"retry-after"]
    assert caught.value.data["limit"] == "calls_per_minute"
    assert "2 calls in a minute" in caught.value.message
    assert told == ["calls_per_minute"]
    await trio.sleep(120)
    for _ in range(2):  # what was refused did not count for the day
        await limits.count("a", rules)
    await limits.count("b", rules)


def test_calls_at_once_are_counted_while_they_run():
    limits = make_limits(clock=lambda: 0.0)
    with limits.at_once("a", 1), pytest.raises(TooManyRequests), limits.at_once("a", 1):
        pass
    with limits.at_once("a", 1), limits.at_once("b", 1):
        pass
    assert limits.running == {}


async def test_a_slow_ledger_holds_up_one_request_and_no_other(autojump_clock, ledger, monkeypatch):
    async def take(*arguments):
        await trio.sleep(5)

    monkeypatch.setattr(ledger, "take", take)
    allowances, ended = Allowances(ledger, clock=now), []

    async def call(key):
        assert await allowances.take(key, CALLS) == 0.0
        ended.append(trio.current_time())

    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        for key in "aaaab":
            nursery.start_soon(call, key)
    assert max(ended) - begin <= ANSWER_S + 0.01
    await call("c")
    assert trio.current_time() - begin <= ANSWER_S + 0.01


async def test_a_refusal_tells_the_same_moment_however_often(autojump_clock, ledger):
    three = Rule("calls_per_day", 1, DAY_S, "calls")
    allowances = Allowances(ledger, clock=now)
    assert await allowances.take("a", three) == 0.0
    first = await allowances.take("a", three)
    await trio.sleep(30)
    assert await allowances.take("a", three) == pytest.approx(first - 30)


async def test_a_flood_of_keys_takes_nothing_from_the_others(autojump_clock, ledger, monkeypatch):
    monkeypatch.setattr("mcpd.limits.allowances.MAX_KEYS", 20)
    allowances = Allowances(ledger, clock=now)
    one = Rule("registrations_per_minute", 1, MINUTE_S, "registrations")
    passed = 0
    for number in range(500):
        passed += await let_through(allowances, "alice", CALLS, 1)
        await let_through(allowances, f"2001:db8::{number}", one, 1)
    assert passed == 500
