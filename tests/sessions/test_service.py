"""Moves, owners, presence and the sweep."""

import pytest
import trio

from mcpd.auth.principals import Principal
from mcpd.errors import BadRequest, InvalidRequest, SessionNotFound, StoreError
from mcpd.sessions.active_sessions import MAX_STREAMS, ActiveSessions
from mcpd.sessions.memory.store import MemoryStore
from mcpd.sessions.record import (
    MOVES,
    Move,
    Session,
    SessionId,
    State,
    clean_label,
    new_session_id,
    step,
)
from mcpd.sessions.service import Sessions

ALICE, MALLORY = Principal("alice", "iss"), Principal("mallory", "iss")


def test_every_cell_of_the_table():
    expected = {
        (State.REGISTERED, Move.INITIALIZE): State.NEGOTIATED,
        (State.REGISTERED, Move.INITIALIZED): None,
        (State.NEGOTIATED, Move.INITIALIZE): State.NEGOTIATED,
        (State.NEGOTIATED, Move.INITIALIZED): State.READY,
        (State.READY, Move.INITIALIZE): State.NEGOTIATED,
        (State.READY, Move.INITIALIZED): State.READY,
    }
    assert len(expected) == len(State) * len(Move)
    for (state, move), after in expected.items():
        assert MOVES[state].get(move) is after
        if after is None:
            with pytest.raises(InvalidRequest):
                step(state, move)
        else:
            assert step(state, move) is after


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("Claude Desktop", "Claude Desktop"),
        ("a\x1b[31mred\n\u202eb", "a [31mred b"),
        ("  a  b ", "a b"),
        ("x" * 500, "x" * 10),
        (7, ""),
        (None, ""),
    ],
)
def test_labels_are_clean(value, label):
    assert clean_label(value, 10 if value == "x" * 500 else 100) == label


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(clock):
    return Sessions(MemoryStore(), timeout_s=60, clock=clock)


async def opened(sessions: Sessions, clock: Clock) -> Session:
    session = Session(id=new_session_id(), created_at=clock.now, last_activity=clock.now)
    await sessions.open(session)
    return session


async def test_activity_keeps_a_session_and_idleness_ends_it(sessions, clock):
    session = await opened(sessions, clock)
    for _ in range(5):
        clock.now += 59
        assert await sessions.find(session.id)
    clock.now += 60
    with pytest.raises(SessionNotFound):
        await sessions.find(session.id)
    assert await sessions.sweep() == 1


@pytest.mark.parametrize("bad", ["", "x" * 200, "a\nb"])
async def test_ids_that_cannot_be_one(sessions, bad):
    with pytest.raises(BadRequest):
        await sessions.find(bad)


async def test_a_session_belongs_to_the_principal_that_first_used_it(sessions, clock):
    session = await opened(sessions, clock)
    mine = await sessions.claim(session, ALICE)
    assert (mine.issuer, mine.subject) == ("iss", "alice")
    for stranger in (MALLORY, Principal("alice", "other")):
        with pytest.raises(SessionNotFound):
            await sessions.claim(await sessions.find(session.id), stranger)
    refreshed = Principal("alice", "iss", frozenset({"more"}), "api_token")
    assert await sessions.claim(await sessions.find(session.id), refreshed)


async def test_a_session_with_a_stream_or_a_running_request_is_active(sessions, clock):
    streaming, running, idle = [await opened(sessions, clock) for _ in range(3)]
    with sessions.active.stream(streaming.id), sessions.active.hold(running.id):
        for _ in range(3):
            clock.now += 50
            await sessions.sweep()
        assert await sessions.find(streaming.id)
        assert await sessions.find(running.id)
        with pytest.raises(SessionNotFound):
            await sessions.find(idle.id)
    assert sessions.active.active() == []


async def test_the_end_of_a_session_ends_its_streams(sessions, clock):
    session = await opened(sessions, clock)
    with trio.fail_after(30), sessions.active.stream(session.id) as scope:
        await sessions.end(session)
        await trio.sleep_forever()
    assert scope.cancelled_caught
    with pytest.raises(SessionNotFound):
        await sessions.end(session)


async def test_the_oldest_of_too_many_streams_is_ended(nursery):
    active, over = ActiveSessions(), []

    async def stream(number: int) -> None:
        with active.stream(SessionId("s")):
            await trio.sleep_forever()
        over.append(number)

    for number in range(MAX_STREAMS + 2):
        nursery.start_soon(stream, number)
        await trio.testing.wait_all_tasks_blocked()
    assert over == [0, 1]
    nursery.cancel_scope.cancel()


async def test_upkeep_goes_on_when_the_store_fails(sessions, clock, nursery, autojump_clock):
    failures = 2

    async def expire(cutoff: float) -> list[SessionId]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreError("away")
        return []

    sessions.store.expire = expire
    nursery.start_soon(sessions.run_upkeep)
    await trio.sleep(100)
    assert failures < 0
    nursery.cancel_scope.cancel()


async def test_a_principal_has_so_many_sessions_and_active_ones_stay(clock):
    sessions = Sessions(MemoryStore(), clock=clock, max_per_user=3)
    mine = []
    for _ in range(3):
        clock.now += 1
        mine.append(await sessions.claim(await opened(sessions, clock), ALICE))
    ended: list[SessionId] = []
    sessions.active.on_end.append(ended.append)
    with sessions.active.hold(mine[0].id):  # a stream or a call, for long
        for _ in range(5):
            clock.now += 1
            await sessions.claim(await opened(sessions, clock), ALICE)
        assert await sessions.find(mine[0].id)
    assert ended[:2] == [mine[1].id, mine[2].id]
    assert (await sessions.store.count()).total == 3
    theirs = await sessions.claim(await opened(sessions, clock), MALLORY)
    assert await sessions.find(theirs.id)
