"""One contract, every ledger of limits."""

import random

import pytest

from mcpd.limits.ledger import MemoryLedger
from mcpd.limits.rules import DAY_S, MINUTE_S, Rule
from mcpd.sessions.sqlite.limits import SqliteLedger
from tests.sessions.stores import KINDS, fresh_of, opened

RULES = [
    Rule("calls_per_minute", 10, MINUTE_S, "calls"),
    Rule("bytes_per_day", 1_000_000_000, DAY_S, "bytes"),
    Rule("tools.get_*.calls_per_minute", 2.5, MINUTE_S, "calls"),
]


class Clock:
    now = 1_700_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=KINDS)
async def ledger(request, tmp_path, clock):
    if request.param == "memory":
        yield MemoryLedger(clock)
    elif request.param == "sqlite":
        found = SqliteLedger(tmp_path, clock)
        yield found
        found.close()
    else:
        async with opened(request.param, tmp_path, url=fresh_of(request)) as backend:
            backend.ledger._clock = clock
            yield backend.ledger


async def test_every_ledger_counts_as_the_arithmetic_says(ledger, clock):
    reference, dice = MemoryLedger(clock), random.Random(7)
    for _ in range(150):
        clock.now += dice.choice([0, 0.25, 3.5, 20.125, 61, -1, -200, 90_000])
        rule, key = dice.choice(RULES), dice.choice(["one user", "ä\n", ""])
        if dice.random() < 0.2:
            await ledger.give_back(key, rule, 1.0)
            await reference.give_back(key, rule, 1.0)
            continue
        least = float(dice.choice([1, 1, 2, 11, 300_000_000]))
        most = least + dice.choice([0, 4])
        granted = await ledger.take(key, rule, least, most)
        wanted = await reference.take(key, rule, least, most)
        assert tuple(granted) == pytest.approx(tuple(wanted), abs=0.01), (rule, least, most)


async def test_a_sweep_forgets_what_does_not_count_any_more(ledger, clock):
    await ledger.take("a", RULES[0], 10, 10)
    await ledger.sweep()
    assert (await ledger.take("a", RULES[0], 1, 1)).amount == 0
    clock.now += 1000
    await ledger.sweep()
    assert (await ledger.take("a", RULES[0], 10, 10)).amount == 10


async def test_processes_whose_clocks_differ_give_nothing_away(tmp_path, clock):
    ahead, behind = Clock(), Clock()
    ahead.now += 600
    one, other = SqliteLedger(tmp_path, ahead), SqliteLedger(tmp_path, behind)
    granted = 0.0
    for _ in range(20):
        for each in (one, other):
            granted += (await each.take("a", RULES[0], 1, 1)).amount
    assert granted == 10
    one.close()
    other.close()


async def test_what_is_counted_in_a_file_outlives_the_process(tmp_path, clock):
    first = SqliteLedger(tmp_path, clock)
    await first.take("a", RULES[0], 7, 7)
    second = SqliteLedger(tmp_path, clock)  # beside it
    assert (await second.take("a", RULES[0], 1, 10)).amount == 3
    first.close()
    second.close()
    again = SqliteLedger(tmp_path, clock)
    assert (await again.take("a", RULES[0], 1, 10)).amount == 0
    again.close()
