"""One contract, every store."""

import os
import sqlite3
from functools import partial
from pathlib import Path

import pytest
import trio
from msgspec import Raw
from msgspec.structs import replace

from mcpd.errors import ConfigError, StoreError
from mcpd.sessions.record import Session, SessionId, new_session_id
from mcpd.sessions.sqlite.store import SqliteStore
from mcpd.sessions.store import EXPIRE_BATCH, Counts, SessionStore
from tests.sessions.stores import KINDS, fresh_of, opened, session

ALWAYS = -1.0


@pytest.fixture(params=KINDS)
async def store(request, tmp_path):
    url = fresh_of(request)
    async with opened(request.param, tmp_path, url=url) as backend:
        yield backend.store


async def put(store: SessionStore, *sessions: Session) -> None:
    for one in sessions:
        await store.create(one, max_unbound=1000)


async def test_what_is_created_is_found(store):
    one = session(client_name="c", capabilities=Raw(b'{"roots":{"x":[1]}}'), log_level="error")
    await put(store, one)
    assert await store.get(one.id, alive_since=ALWAYS) == one
    assert await store.get(SessionId("nope"), alive_since=ALWAYS) is None


async def test_a_session_lives_until_its_time_is_over_and_not_a_moment_longer(store):
    one = session()
    await put(store, one)
    assert await store.get(one.id, alive_since=99.9) is not None
    assert await store.get(one.id, alive_since=100.0) is None


async def test_touch_moves_activity(store):
    one = session()
    await put(store, one)
    await store.get(one.id, alive_since=ALWAYS)
    store.touch(one.id, 500.0)
    assert await store.get(one.id, alive_since=499.0) is not None
    assert await store.expire(400.0) == []
    (listed,) = await store.list(alive_since=499.0, limit=10)
    assert (listed.last_activity, listed.created_at) == (500.0, 100.0)
    await store.flush()
    assert await store.expire(500.0) == [one.id]


async def test_touching_what_is_gone_brings_nothing_back(store):
    one = session()
    await put(store, one)
    await store.end(one.id)
    store.touch(one.id, 500.0)
    await store.flush()
    assert await store.get(one.id, alive_since=ALWAYS) is None
    assert await store.count() == Counts(0, 0)


async def test_update_keeps_times_and_principal(store):
    one = session()
    await put(store, one)
    await store.bind(one.id, "iss", "alice")
    changed = await store.update(one.id, lambda now: replace(now, revision="2025-11-25"))
    assert (changed.revision, changed.subject) == ("2025-11-25", "alice")
    found = await store.get(one.id, alive_since=ALWAYS)
    assert (found.revision, found.subject, found.created_at) == ("2025-11-25", "alice", 100.0)
    assert await store.update(new_session_id(), lambda now: now) is None


async def test_changes_at_the_same_time_are_all_kept(store):
    one = session()
    await put(store, one)
    async with trio.open_nursery() as nursery:
        for member, value in (("revision", "2025-11-25"), ("log_level", "error")):
            change = partial(replace, **{member: value})
            nursery.start_soon(store.update, one.id, change)
    found = await store.get(one.id, alive_since=ALWAYS)
    assert (found.revision, found.log_level) == ("2025-11-25", "error")


async def test_the_first_principal_stays(store):
    one = session()
    await put(store, one)
    assert (await store.bind(one.id, "iss", "alice")).subject == "alice"
    assert (await store.bind(one.id, "iss", "mallory")).subject == "alice"
    assert (await store.get(one.id, alive_since=ALWAYS)).subject == "alice"
    assert await store.bind(new_session_id(), "iss", "x") is None


async def test_ended_is_gone_and_only_once(store):
    one = session()
    await put(store, one)
    assert await store.end(one.id)
    assert not await store.end(one.id)
    assert await store.get(one.id, alive_since=ALWAYS) is None
    assert await store.update(one.id, lambda now: now) is None


async def test_expiry_takes_the_oldest_in_batches(store):
    sessions = [session(number % 7) for number in range(EXPIRE_BATCH + 20)]
    await put(store, *sessions)
    first = await store.expire(200.0)
    second = await store.expire(200.0)
    assert (len(first), len(second)) == (EXPIRE_BATCH, 20)
    assert {*first, *second} == {one.id for one in sessions}
    assert await store.expire(200.0) == []


async def test_unbound_sessions_are_capped_and_the_oldest_goes_first(store):
    bound = session(0)
    await put(store, bound)
    await store.bind(bound.id, "", "alice")
    sessions = [session(number + 1) for number in range(4)]
    dropped = []
    for one in sessions:
        dropped += await store.create(one, max_unbound=2)
    assert dropped == [sessions[0].id, sessions[1].id]
    assert await store.count() == Counts(3, 2)
    assert await store.get(sessions[0].id, alive_since=ALWAYS) is None
    assert await store.get(bound.id, alive_since=ALWAYS) is not None


async def test_lists_are_paged_in_order_of_ids(store):
    sessions = [session(number) for number in range(25)]
    await put(store, *sessions)
    found, after = [], None
    while page := await store.list(alive_since=ALWAYS, limit=10, after=after):
        found += page
        after = page[-1].id
    assert [one.id for one in found] == sorted(one.id for one in sessions)
    assert len(await store.list(alive_since=110.0, limit=100)) == 14


async def test_many_sessions_at_once_are_kept(store):
    sessions = [session(number) for number in range(200)]
    async with trio.open_nursery() as nursery:
        for one in sessions:
            nursery.start_soon(put, store, one)
    assert (await store.count()).total == 200


# --- SQLite alone ----------------------------------------------------------------------------


async def test_sqlite_survives_a_restart_with_activity_flushed(tmp_path):
    path = tmp_path / "s.sqlite"
    one, two = session(), session()
    store = SqliteStore(path)
    await put(store, one, two)
    await store.get(one.id, alive_since=ALWAYS)
    store.touch(one.id, 900.0)
    await store.flush()
    store.close()
    again = SqliteStore(path)
    assert await again.get(one.id, alive_since=899.0) is not None
    assert await again.get(two.id, alive_since=899.0) is None
    assert await again.get(two.id, alive_since=ALWAYS) == two
    again.close()


async def test_a_session_pushed_out_of_the_cache_keeps_its_activity(tmp_path, monkeypatch):
    monkeypatch.setattr("mcpd.sessions.sqlite.store._CACHE_ENTRIES", 2)
    store = SqliteStore(tmp_path / "s.sqlite")
    sessions = [session(number) for number in range(5)]
    await put(store, *sessions)
    await store.get(sessions[0].id, alive_since=ALWAYS)
    store.touch(sessions[0].id, 900.0)
    for one in sessions[1:]:
        await store.get(one.id, alive_since=ALWAYS)
    assert len(store._cache) == 2
    assert await store.get(sessions[0].id, alive_since=899.0) is not None
    store.close()


def test_a_corrupt_file_is_told_in_plain_words(tmp_path):
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this is no database, it is a shopping list" * 100)
    with pytest.raises(ConfigError) as caught:
        SqliteStore(path)
    assert str(path) in caught.value.message
    assert "Move" in caught.value.fix


def test_a_file_that_cannot_be_used_is_not_kept_open(tmp_path):
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this is no database, it is a shopping list" * 100)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ConfigError) as caught:
        SqliteStore(path)
    assert len(os.listdir("/proc/self/fd")) == len(before), caught
    path.unlink()
    SqliteStore(path).close()  # nor locked


def test_an_unwritable_folder_is_told_in_plain_words():
    with pytest.raises(ConfigError) as caught:
        SqliteStore(Path("/proc/nowhere/s.sqlite"))
    assert "permissions" in caught.value.fix


async def test_a_write_that_fails_does_not_take_others_with_it(tmp_path):
    store = SqliteStore(tmp_path / "s.sqlite")
    one = session()
    await put(store, one)
    failures = []

    async def again():
        try:
            await put(store, one)  # the same id twice
        except StoreError as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(again)
            nursery.start_soon(put, store, session())
    assert len(failures) == 3
    assert (await store.count()).total == 4
    store.close()


@pytest.mark.slow
async def test_a_hundred_thousand_sessions_leave_the_sweep_unharmed(tmp_path):
    """Expiry costs what expires, not what exists: by the plan of the query, not by the clock."""
    path = tmp_path / "s.sqlite"
    store = SqliteStore(path)
    rows = [(str(n), 1e9, 1e9 + n, b"{}") for n in range(100_000)]
    with sqlite3.connect(path) as db:
        db.executemany(
            "INSERT INTO session (id, created_at, last_activity, record) VALUES (?, ?, ?, ?)", rows
        )
        plan = db.execute(
            "EXPLAIN QUERY PLAN SELECT id FROM session"
            " WHERE last_activity <= ? ORDER BY last_activity LIMIT 5",
            (1e9,),
        ).fetchall()
    db.close()
    assert "session_by_activity" in plan[0][3]
    assert sorted(await store.expire(1e9 + 2)) == ["0", "1", "2"]
    store.close()


async def test_of_a_principals_sessions_the_idle_ones_go_first_and_the_new_one_never(store):
    owned = [session(n, issuer="iss", subject="alice") for n in range(4)]
    other = session(issuer="iss", subject="bob")
    unbound = session()
    await put(store, *owned, other, unbound)
    for one in owned:
        await store.count_owned(one)
    await store.bind(unbound.id, "iss", "alice")
    store.touch(owned[0].id, 500.0)  # in use, whatever its age
    bound = replace(unbound, issuer="iss", subject="alice")
    assert await store.count_owned(bound) == 5
    assert await store.count_owned(other) == 1
    dropped = await store.trim(bound, keep=3)
    assert sorted(dropped) == sorted([owned[1].id, owned[2].id])
    assert await store.count_owned(bound) <= 5
    assert await store.trim(bound, keep=3) == []
    for one, is_there in ((owned[0], True), (owned[1], False), (bound, True), (other, True)):
        assert (await store.get(one.id, alive_since=ALWAYS) is not None) is is_there
    assert await store.trim(bound, keep=1) != []
    assert await store.get(bound.id, alive_since=ALWAYS) is not None
