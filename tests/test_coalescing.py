"""What is ready together is written together; what comes alone goes out at once."""

import time

import pytest
import trio
import trio.testing

from mcpd.coalescing import BURST_S, MAX_WAITING, MAX_WAITING_BYTES, Coalescer


class Sink:
    """Writes what waits, slowly if asked to."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.written: list[list[bytes]] = []
        self.open = trio.Event()
        self.open.set()
        self.waiting = Coalescer(self.write, nursery.start_soon)

    async def write(self) -> None:
        await self.open.wait()
        taken = self.waiting.take()
        if taken:
            self.written.append(taken)


async def test_a_burst_goes_out_together_and_in_order(nursery):
    sink = Sink(nursery)
    for number in range(10):
        await sink.waiting.put(b"%d" % number)
    await trio.testing.wait_all_tasks_blocked()
    assert sink.written == [[b"%d" % number for number in range(10)]]


async def test_a_message_that_comes_alone_is_out_before_its_sender_goes_on(nursery):
    """A function that computes between its messages blocks the loop: they must not wait for it."""
    sink = Sink(nursery)
    for number in range(3):
        time.sleep(2 * BURST_S)  # it computes
        await sink.waiting.put(b"%d" % number)
        assert sink.written[-1] == [b"%d" % number]


@pytest.mark.parametrize(
    ("message", "most"), [(b"x", MAX_WAITING), (b"x" * (MAX_WAITING_BYTES // 4), 4)]
)
async def test_a_sender_waits_for_room(nursery, message, most):
    sink = Sink(nursery)
    sink.open = trio.Event()
    sent = 0

    async def send() -> None:
        nonlocal sent
        for _ in range(2 * most):
            await sink.waiting.put(message)
            sent += 1

    nursery.start_soon(send)
    with trio.fail_after(30):
        while sent < most:
            await trio.sleep(0.001)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert sent == most
    sink.open.set()
    with trio.fail_after(30):
        while sum(map(len, sink.written)) < 2 * most:
            await trio.sleep(0.001)
    assert sent == 2 * most
    assert sum(map(len, sink.written)) == 2 * most


async def test_a_sender_that_is_cancelled_while_it_waits_has_sent_nothing(nursery):
    sink = Sink(nursery)
    sink.open = trio.Event()
    for _ in range(MAX_WAITING):
        await sink.waiting.put(b"x")
    with trio.move_on_after(0.01) as scope:
        await sink.waiting.put(b"never")
    assert scope.cancelled_caught
    sink.open.set()
    await trio.testing.wait_all_tasks_blocked()
    assert [message for taken in sink.written for message in taken] == [b"x"] * MAX_WAITING


async def test_who_ends_the_stream_takes_what_waits(nursery):
    sink = Sink(nursery)
    await sink.waiting.put(b"1")
    await sink.waiting.put(b"2")
    assert sink.waiting.take() == [b"1", b"2"]
    await trio.testing.wait_all_tasks_blocked()
    assert sink.written == []
    await sink.waiting.put(b"3")  # it begins anew
    await trio.testing.wait_all_tasks_blocked()
    assert sink.written == [[b"3"]]


async def test_a_message_that_no_task_can_write_is_not_kept_waiting():
    def refuse(run: object) -> None:
        raise RuntimeError("the nursery is closed")

    async def never() -> None:
        raise AssertionError

    waiting = Coalescer(never, refuse)
    for _ in range(2 * MAX_WAITING):
        with pytest.raises(RuntimeError):
            await waiting.put(b"x")
    assert waiting.take() == []


async def test_a_writer_that_is_cut_short_leaves_room():
    async with trio.open_nursery() as writers:
        sink = Sink(writers)
        sink.open = trio.Event()
        for _ in range(MAX_WAITING):
            await sink.waiting.put(b"x")
        await trio.testing.wait_all_tasks_blocked()
        writers.cancel_scope.cancel()
    assert sink.waiting.take() == []
