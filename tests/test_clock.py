"""A wall clock that jumps, in either direction, ends no session and locks no user out."""

import time

import pytest

from mcpd.auth.principals import Principal
from mcpd.clock import SteadyClock
from mcpd.errors import SessionNotFound
from mcpd.mcp.tasks.registry import Tasks
from mcpd.server.backends import memory_backend, sqlite_backend
from mcpd.sessions.backend import Backend
from mcpd.sessions.memory.store import MemoryStore
from mcpd.sessions.record import Session, new_session_id
from mcpd.sessions.redis import opening
from mcpd.sessions.service import Sessions
from mcpd.sessions.sqlite.store import SqliteStore
from mcpd.sessions.streams import KeptCall
from tests.sessions.stores import fresh, opened

DAY_S = 86_400.0
TIMEOUT_S = 3600.0


class Times:
    """A wall clock that can be set, beside one that cannot."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_700_000_000.0, 500.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall, lambda: self.steady)


@pytest.fixture
def times():
    return Times()


def test_a_jump_is_known_and_not_followed(times):
    clock = times.clock()
    times.pass_(10)
    assert clock() == 1_700_000_010.0
    times.wall += 1  # as NTP does it
    assert (clock(), clock.drift) == (1_700_000_010.0, 0.0)
    times.wall -= DAY_S
    assert (clock(), clock.drift) == (1_700_000_010.0, 1 - DAY_S)


def sessions_of(store: SqliteStore | MemoryStore, clock: SteadyClock) -> Sessions:
    return Sessions(store, timeout_s=TIMEOUT_S, clock=clock)


async def begin(sessions: Sessions) -> Session:
    now = sessions.clock()
    one = Session(id=new_session_id(), created_at=now, last_activity=now)
    await sessions.open(one)
    return one


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["forward", "back"])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_jump_changes_no_sessions_age(tmp_path, times, jump_s, kind):
    clock = times.clock()
    store = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "s", clock=clock)
    sessions = sessions_of(store, clock)
    idle, used = await begin(sessions), await begin(sessions)
    times.pass_(TIMEOUT_S / 2)
    times.wall += jump_s
    assert await sessions.find(used.id)
    assert await sessions.sweep() == 0
    times.pass_(TIMEOUT_S / 2 + 1)
    assert await sessions.sweep() == 1
    assert await sessions.find(used.id)
    with pytest.raises(SessionNotFound):
        await sessions.find(idle.id)
    store.close()


def sqlite(tmp_path, clock: SteadyClock) -> Backend:
    store = SqliteStore(tmp_path / "s.sqlite", clock=clock)
    return sqlite_backend(store, "p", keep_running_s=TIMEOUT_S)


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["forward", "back"])
async def test_a_restart_after_a_jump_keeps_the_age_of_all_that_is_kept(tmp_path, times, jump_s):
    first = sqlite(tmp_path, times.clock())
    sessions = sessions_of(first.store, first.clock)
    one = await begin(sessions)
    await first.events.begin(KeptCall(one.id, "s1", b"{}", "alice"))
    await first.tasks.put("t", "alice", b"{}", ttl_s=1000.0, final=True)
    times.wall += jump_s  # it was suspended, or set
    times.pass_(10)
    await first.store.flush()
    first.store.close()
    times.pass_(20)  # by the wall clock, since none of ours runs
    second = sqlite(tmp_path, times.clock())
    sessions = sessions_of(second.store, second.clock)
    assert second.clock() == times.wall
    await second.events.sweep(second.clock())
    assert await second.events.read(one.id, "s1", 0) is not None
    assert await second.tasks.get("t") == b"{}"
    (kept,) = await second.store.list(alive_since=0.0, limit=10)
    assert second.clock() - kept.last_activity == pytest.approx(30)
    times.pass_(1000)
    assert await second.tasks.get("t") is None
    assert await sessions.find(one.id)
    times.pass_(TIMEOUT_S + 1)
    assert await sessions.sweep() == 1
    second.store.close()


async def test_a_clock_that_was_set_back_while_none_ran_makes_nothing_last_for_ever(
    tmp_path, times
):
    first = sqlite(tmp_path, times.clock())
    one = await begin(sessions_of(first.store, first.clock))
    await first.tasks.put("t", "alice", b"{}", ttl_s=1000.0, final=True)
    first.store.close()
    times.wall -= 365 * DAY_S
    second = sqlite(tmp_path, times.clock())
    sessions = sessions_of(second.store, second.clock)
    assert await sessions.find(one.id)
    times.pass_(TIMEOUT_S + 1)
    assert await sessions.sweep() == 1
    assert await second.tasks.get("t") is None
    second.store.close()


async def test_another_process_sees_the_times_of_the_file_as_its_owner_does(tmp_path, times):
    owner = sqlite(tmp_path, times.clock())
    await begin(sessions_of(owner.store, owner.clock))
    times.wall += DAY_S
    await owner.store.flush()
    beside = SqliteStore(tmp_path / "s.sqlite", alone=False, clock=times.clock())
    assert beside.clock() == owner.clock()
    await beside.flush()
    beside.close()
    owner.store.close()


async def test_a_task_lives_as_long_as_it_was_promised(times):
    tasks = Tasks(clock=times.clock())
    alice = Principal("alice")
    task = tasks.create(alice, 60_000)
    for jump_s in (DAY_S, -2 * DAY_S):
        times.wall += jump_s
        assert await tasks.get(alice, task.id) is task
    times.pass_(61)
    tasks.create(alice)
    assert task.terminal


def test_everything_that_a_server_keeps_for_a_time_has_one_clock(tmp_path):
    assert isinstance(memory_backend().clock, SteadyClock)
    store = SqliteStore(tmp_path / "s.sqlite")
    assert sqlite_backend(store, "p", keep_running_s=1.0).clock is store.clock
    store.close()


async def test_processes_of_one_redis_have_its_clock(redis, tmp_path, monkeypatch):
    """One of them runs where the clock is a day ahead: it ends no session of the others."""
    monkeypatch.setattr(
        opening, "SteadyClock", lambda: SteadyClock(wall=lambda: time.time() + DAY_S)
    )
    url = fresh(redis)
    async with opened("redis", tmp_path, url=url) as ahead:
        monkeypatch.undo()
        async with opened("redis", tmp_path, url=url) as other:
            one = await begin(sessions_of(other.store, other.clock))
            assert await sessions_of(ahead.store, ahead.clock).sweep() == 0
            assert await sessions_of(ahead.store, ahead.clock).find(one.id)
