"""The wheel of deadlines, on virtual time."""

import pytest
import trio

from mcpd.http.timers import TICK_S, Timed, Timers


class Item(Timed):
    __slots__ = ("fired",)

    def __init__(self) -> None:
        super().__init__()
        self.fired: list[float] = []

    def on_due(self, now: float) -> None:
        self.fired.append(now)


@pytest.fixture
async def timers(nursery):
    wheel = Timers()
    nursery.start_soon(wheel.run)
    return wheel


async def test_an_item_fires_once_at_its_deadline_and_never_early(timers, autojump_clock):
    item, start = Item(), trio.current_time()
    timers.arm(item, start + 1.0)
    await trio.sleep(0.99)
    assert item.fired == []
    await trio.sleep(10)
    assert len(item.fired) == 1
    assert 1.0 <= item.fired[0] - start <= 1.0 + 2 * TICK_S


async def test_a_later_deadline_replaces_an_earlier_one_and_the_other_way_round(
    timers, autojump_clock
):
    later, sooner, start = Item(), Item(), trio.current_time()
    timers.arm(later, start + 1.0)
    timers.arm(later, start + 5.0)
    timers.arm(sooner, start + 5.0)
    timers.arm(sooner, start + 1.0)
    await trio.sleep(2)
    assert (len(later.fired), len(sooner.fired)) == (0, 1)
    await trio.sleep(5)
    assert (len(later.fired), len(sooner.fired)) == (1, 1)


async def test_a_forgotten_item_does_not_fire(timers, autojump_clock):
    item = Item()
    timers.arm(item, trio.current_time() + 1.0)
    timers.forget(item)
    await trio.sleep(3)
    assert item.fired == []


class Faulty(Timed):
    __slots__ = ()

    def on_due(self, now: float) -> None:
        raise RuntimeError("nobody catches this")


async def test_one_fault_does_not_stop_the_wheel(timers, autojump_clock, caplog):
    item = Item()
    timers.arm(Faulty(), trio.current_time() + 1)
    timers.arm(item, trio.current_time() + 2)
    await trio.sleep(3)
    assert len(item.fired) == 1
    assert "nobody catches this" in caplog.text


async def test_rearming_does_not_pile_up(timers, autojump_clock):
    item = Item()
    for _ in range(1000):
        timers.arm(item, trio.current_time() + 75)
        timers.arm(item, trio.current_time() + 0.05)
        await trio.sleep(0.01)
    assert sum(len(slot) for slot in timers._slots.values()) == 1
    assert len(timers._order) < 40
