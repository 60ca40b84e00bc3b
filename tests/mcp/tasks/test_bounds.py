"""Tasks are bounded by owner and in all, with their results."""

from dataclasses import replace

import pytest
import trio

from mcpd.auth.principals import Principal
from mcpd.errors import InvalidParams, TooManyRequests, Unavailable
from mcpd.limits.caps import TASKS, Cap, Caps
from mcpd.mcp.tasks.registry import Tasks
from mcpd.mcp.tasks.task import Status
from mcpd.server.backends import sqlite_backend
from mcpd.sessions.sqlite.store import SqliteStore


def fill(tasks: Tasks, owner: Principal) -> int:
    made = 0
    while True:
        try:
            tasks.create(owner)
        except (TooManyRequests, Unavailable):
            return made
        made += 1


async def test_ten_users_do_not_fill_it_for_the_others():
    caps = Caps(max_tasks=1000, max_tasks_per_user=100)
    tasks = Tasks(caps=caps)
    for number in range(10):
        assert fill(tasks, Principal(f"greedy {number}")) <= 100
    assert fill(tasks, Principal("modest")) >= TASKS.floor


async def test_what_expired_makes_room_and_names_the_setting_before():
    now = [1000.0]
    tasks = Tasks(caps=Caps(max_tasks_per_user=2), clock=lambda: now[0])
    alice = Principal("alice")
    first = tasks.create(alice, 1000)
    tasks.create(alice, 5000)
    with pytest.raises(TooManyRequests, match="2 tasks") as caught:
        tasks.create(alice)
    assert "max_tasks_per_user" in caught.value.fix
    now[0] = 1001.0
    tasks.create(alice)
    assert first.status is Status.CANCELLED
    with pytest.raises(InvalidParams):
        await tasks.get(alice, first.id)


async def test_results_are_bounded_and_their_room_is_given_back():
    now, caps = [0.0], Caps()
    caps.task_results = Cap(replace(caps.task_results.rule, each=1000, floor=1000))
    tasks = Tasks(caps=caps, clock=lambda: now[0])
    alice = Principal("alice")
    first, second = tasks.create(alice, 1000), tasks.create(alice, 1000)
    tasks.finish(first, Status.COMPLETED, b'"%b"' % (b"x" * 700))
    with pytest.raises(TooManyRequests):
        tasks.finish(second, Status.COMPLETED, b'"%b"' % (b"x" * 700))
    assert (second.status, second.result) == (Status.WORKING, None)
    now[0] = 2.0
    third = tasks.create(alice)
    tasks.finish(third, Status.COMPLETED, b'"%b"' % (b"x" * 700))
    assert caps.task_results.total == 702


async def test_an_invented_id_is_not_looked_up(tmp_path, monkeypatch):
    store = SqliteStore(tmp_path / "s.sqlite")
    backend = sqlite_backend(store, "p", keep_running_s=1.0)
    looked_up = []

    async def get(task_id: str) -> None:
        looked_up.append(task_id)

    monkeypatch.setattr(backend.tasks, "get", get)
    tasks = Tasks(store=backend.tasks, process="p")
    for invented in ("", "x", "a" * 31, "a" * 33, "ä" * 32, "x" * 10**6):
        with pytest.raises(InvalidParams):
            await tasks.get(Principal("alice"), invented)
    assert looked_up == []
    real = tasks.create(Principal("alice"))
    with pytest.raises(InvalidParams):
        await tasks.get(Principal("bob"), real.id)
    with pytest.raises(InvalidParams):
        await tasks.get(Principal("alice"), real.id[::-1])
    assert len(looked_up) == 1
    store.close()


async def test_a_step_does_not_look_at_all_tasks():
    """Ten thousand tasks cost each request for one 12 ms."""
    looks = 0

    class Counted(dict):
        def values(self):
            nonlocal looks
            looks += 1
            return super().values()

    tasks = Tasks(caps=Caps())
    tasks._table.by_id = Counted()
    alice = Principal("alice")
    for _ in range(50):
        task = tasks.create(alice)
    assert await tasks.get(alice, task.id) is task
    assert len((await tasks.page(alice, None))[0]) == 50
    assert looks == 0


async def test_a_task_that_no_client_asks_for_ends_with_its_time(autojump_clock):
    began = trio.current_time()
    tasks = Tasks(clock=trio.current_time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tasks.run)
        task = tasks.create(Principal("alice"), 60_000)
        with task.scope:
            await trio.sleep_forever()
        assert 60 <= trio.current_time() - began < 120
        nursery.cancel_scope.cancel()
