"""One contract, every log."""

import pytest
from msgspec.structs import replace

from mcpd.errors import SessionNotFound
from mcpd.sessions.bus import Bus
from mcpd.sessions.record import SessionId
from mcpd.sessions.stream_ids import (
    asker_of,
    event_id,
    new_stream_id,
    question_id,
    read_event_id,
    request_of,
)
from mcpd.sessions.streams import (
    FINISHED_SLACK,
    KEEP_FINISHED_S,
    MAX_BYTES,
    MAX_EVENTS,
    MAX_FINISHED,
    MAX_FINISHED_BYTES,
    SESSION_STREAM,
    KeptCall,
)
from tests.sessions.stores import KINDS, fresh_of, opened, session


@pytest.fixture(params=KINDS)
async def backend(request, tmp_path):
    url = fresh_of(request)
    async with opened(request.param, tmp_path, url=url) as backend:
        yield backend


@pytest.fixture
async def alice(backend):
    one = session(subject="alice", issuer="")
    await backend.store.create(one, max_unbound=100)
    return one.id


def call(session_id: SessionId, stream_id: str = "c") -> KeptCall:
    return KeptCall(session_id, stream_id, b'{"id":1}', "alice", scopes=("execute:mcp",))


async def contents(log, session_id, stream_id="c", after=0):
    found, finished = [], False
    while page := await log.read(session_id, stream_id, after):
        finished = page.finished
        if not page.events:
            break
        found += [(event.number, event.data) for event in page.events]
        after = found[-1][0]
    return found, finished


async def test_messages_are_kept_in_order_until_the_last(backend, alice):
    log = backend.events
    await log.begin(call(alice))
    assert await contents(log, alice) == ([], False)
    for number in (1, 2, 3):
        assert await log.append(alice, "c", number, [b"m%d" % number], last=False)
    assert await contents(log, alice, after=1) == ([(2, b"m2"), (3, b"m3")], False)
    assert await log.append(alice, "c", 4, [b"end"], last=True)
    assert await contents(log, alice, after=3) == ([(4, b"end")], True)
    assert await contents(log, alice, after=4) == ([], True)


async def test_a_doubtful_message_can_be_repeated(backend, alice):
    log = backend.events
    await log.begin(call(alice))
    for _ in range(2):
        assert await log.append(alice, "c", 1, [b"once"], last=False)
    for _ in range(2):
        assert await log.append(alice, "c", 2, [], last=True)
    assert await contents(log, alice) == ([(1, b"once")], True)


async def test_what_was_never_begun_takes_nothing(backend, alice):
    assert not await backend.events.append(alice, "c", 1, [b"x"], last=False)
    assert await backend.events.read(alice, "c", 0) is None
    if backend.ownership is not None:
        assert await backend.ownership.claim(alice, "c") is None


async def test_a_stream_is_bounded_and_the_oldest_go_first(backend, alice):
    log = backend.events
    await log.begin(call(alice))
    for number in range(1, MAX_EVENTS + 6):
        await log.append(alice, "c", number, [b"x"], last=False)
    found, _ = await contents(log, alice)
    assert [number for number, _ in found] == list(range(6, MAX_EVENTS + 6))
    big = b"x" * (MAX_BYTES - 10)
    await log.append(alice, "c", MAX_EVENTS + 6, [big], last=False)
    found, _ = await contents(log, alice)
    assert sum(len(data) for _, data in found) <= MAX_BYTES
    assert found[-1][1] == big


async def which_are_there(log, session_id, names):
    return [name for name in names if await log.read(session_id, name, 0) is not None]


async def test_a_session_has_a_bounded_number_of_finished_streams(backend, alice):
    log = backend.events
    names = [f"c{number}" for number in range(MAX_FINISHED + 2 * FINISHED_SLACK + 5)]
    await log.begin(call(alice, "long"))  # the first to begin, and the last to end
    for name in names:
        await log.begin(call(alice, name))
        await log.append(alice, name, 1, [b"x"], last=True)
    there = await which_are_there(log, alice, names)
    assert MAX_FINISHED <= len(there) <= MAX_FINISHED + FINISHED_SLACK
    assert there == names[-len(there) :]
    assert await which_are_there(log, alice, ["long"]) == ["long"]
    await log.append(alice, "long", 1, [b"x"], last=True)
    there = await which_are_there(log, alice, ["long", *names])
    assert MAX_FINISHED <= len(there) <= MAX_FINISHED + FINISHED_SLACK
    assert there == ["long", *names[-len(there) + 1 :]]


async def test_what_nobody_has_read_is_kept_longest(backend, alice):
    log = backend.events
    await log.begin(call(alice, "unread"))
    await log.append(alice, "unread", 1, [b"x"], last=True, unread=True)
    await log.begin(call(alice, "missed"))
    await log.append(alice, "missed", 1, [b"x"], last=True)
    await log.mark_unread(alice, "missed")
    await log.mark_unread(alice, "nothing")
    for number in range(MAX_FINISHED + FINISHED_SLACK + 5):
        await log.begin(call(alice, f"c{number}"))
        await log.append(alice, f"c{number}", 1, [b"x"], last=True)
    assert await contents(log, alice, "unread") == ([(1, b"x")], True)
    names = ["missed", "c6", f"c{FINISHED_SLACK + 7}"]
    assert await which_are_there(log, alice, names) == ["missed", names[2]]


async def test_large_finished_streams_are_bounded_together(backend, alice):
    log = backend.events
    many = MAX_FINISHED_BYTES // MAX_BYTES
    names = [f"c{number}" for number in range(many + 2)]
    for name in ["small", *names]:
        await log.begin(call(alice, name))
        data = b"x" * (10 if name == "small" else MAX_BYTES)
        await log.append(alice, name, 1, [data], last=True)
    assert await which_are_there(log, alice, ["small", *names]) == ["small", *names[2:]]
    await log.begin(call(alice, "huge"))
    await log.append(alice, "huge", 1, [b"x" * (MAX_FINISHED_BYTES + 1)], last=True)
    assert await which_are_there(log, alice, ["huge", *names]) == ["huge"]


async def test_a_stream_begins_with_its_first_messages_and_a_doubtful_begin_can_be_repeated(
    backend, alice
):
    log = backend.events
    for _ in range(2):
        await log.begin(call(alice), [b"m1", b"m2"])
    assert await contents(log, alice) == ([(1, b"m1"), (2, b"m2")], False)
    assert await log.append(alice, "c", 2, [b"m2", b"m3", b"m4"], last=True)  # 2 is there already
    assert await contents(log, alice) == ([(n, b"m%d" % n) for n in range(1, 5)], True)
    for _ in range(2):
        await log.begin(call(alice, "d"), [b"a", b"b\nb"], last=True)
    assert await contents(log, alice, "d") == ([(1, b"a"), (2, b"b\nb")], True)


async def test_messages_written_together_are_read_and_dropped_one_by_one(backend, alice):
    log, written = backend.events, [b"m%d" % number for number in range(1, 101)]
    await log.begin(call(alice), written[:40])
    await log.append(alice, "c", 41, written[40:], last=False)
    for after in (0, 1, 31, 32, 33, 39, 40, 99):
        page = await log.read(alice, "c", after)
        assert [event.data for event in page.events] == written[after:][: len(page.events)]
        assert page.events[0].number == after + 1
    assert (await log.read(alice, "c", 100)).events == []
    many = [b"x"] * 100
    for number in range(101, MAX_EVENTS + 200, 100):
        await log.append(alice, "c", number, many, last=False)
    found = (await contents(log, alice))[0]
    assert MAX_EVENTS - 32 <= len(found) <= MAX_EVENTS
    assert found[-1][0] == found[0][0] + len(found) - 1


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_newest_message_stays_however_large_it_is(backend, alice, at_once):
    log, large = backend.events, b"x" * (MAX_BYTES + 1)
    written = [b"1", b"2", large]
    if at_once:
        await log.begin(call(alice), written, last=True)
    else:
        await log.begin(call(alice), written[:1])
        await log.append(alice, "c", 2, written[1:], last=True)
    page = await log.read(alice, "c", 0)
    assert page.events[-1].number == 3
    assert page.events[-1].data == large
    assert page.finished


async def test_large_messages_written_together_go_one_by_one(backend, alice):
    log, part = backend.events, b"x" * (MAX_BYTES // 4)
    await log.begin(call(alice), [part] * 6)
    page = await log.read(alice, "c", 0)
    assert [event.number for event in page.events] == [3, 4, 5, 6]


async def test_another_session_sees_nothing_of_it(backend, alice):
    other = session(subject="bob", issuer="")
    await backend.store.create(other, max_unbound=100)
    await backend.events.begin(call(alice))
    await backend.events.append(alice, "c", 1, [b"x"], last=False)
    assert await backend.events.read(other.id, "c", 0) is None


async def test_the_own_stream_counts_upwards_and_is_read_and_taken(backend, alice):
    log = backend.events
    assert await log.newest(alice) == 0
    assert await contents(log, alice, SESSION_STREAM) == ([], False)
    first = await log.put(alice, b"1")
    second = await log.put(alice, b"2")
    assert second > first > 1e15  # microseconds: a log that forgot it never counts backwards
    assert await log.newest(alice) == second
    assert await contents(log, alice, SESSION_STREAM, first) == ([(second, b"2")], False)
    await log.drop_through(alice, first)
    assert await contents(log, alice, SESSION_STREAM) == ([(second, b"2")], False)


async def test_a_full_own_stream_can_refuse_instead_of_dropping(backend, alice):
    log = backend.events
    for number in range(MAX_EVENTS):
        assert await log.put(alice, b"%d" % number, drop_oldest=False) is not None
    assert not await log.has_room(alice)
    assert await log.put(alice, b"no", drop_oldest=False) is None
    last = await log.put(alice, b"yes")
    found, _ = await contents(log, alice, SESSION_STREAM)
    assert (found[0][1], found[-1]) == (b"1", (last, b"yes"))
    await log.drop_through(alice, found[0][0])
    assert await log.has_room(alice)


async def test_a_change_reaches_the_sessions_that_watch(backend, alice):
    bob = session(subject="bob", issuer="")
    await backend.store.create(bob, max_unbound=100)
    await backend.watches.watch(alice, frozenset({"lists", "note://a"}))
    await backend.watches.watch(bob.id, frozenset({"lists"}))
    assert await backend.watches.announce("note://a", b"a") == [alice]
    assert set(await backend.watches.announce("lists", b"l")) == {alice, bob.id}
    await backend.watches.watch(alice, frozenset({"lists"}))
    assert await backend.watches.announce("note://a", b"a") == []
    assert [data for _, data in (await contents(backend.events, alice, SESSION_STREAM))[0]] == [
        b"a",
        b"l",
    ]
    await backend.store.end(bob.id)
    backend.events.forget(bob.id)
    assert await backend.watches.announce("lists", b"l") == [alice]


async def test_the_first_answer_to_a_question_stays(backend, alice):
    asked = question_id("c", b"how?", 1)
    assert not await backend.answers.deliver(alice, asked, b"unasked")
    await backend.answers.expect(alice, "c", asked)
    assert await backend.answers.find(alice, asked) is None
    assert await backend.answers.deliver(alice, asked, b"so")
    assert await backend.answers.deliver(alice, asked, b"or so")
    await backend.answers.expect(alice, "c", asked)  # by a second run
    assert await backend.answers.find(alice, asked) == b"so"
    await backend.answers.forget(alice, "c")
    assert await backend.answers.find(alice, asked) is None
    assert not await backend.answers.deliver(alice, asked, b"late")


async def test_what_ended_takes_its_streams_and_questions_with_it(backend, alice):
    log = backend.events
    await log.begin(call(alice))
    await backend.answers.expect(alice, "c", question_id("c", b"how?", 1))
    await log.put(alice, b"x")
    await backend.store.end(alice)
    log.forget(alice)
    assert await log.read(alice, "c", 0) is None
    assert not await backend.answers.deliver(alice, question_id("c", b"how?", 1), b"late")
    assert not await log.append(alice, "c", 1, [b"x"], last=False)
    assert await log.newest(alice) == 0


# --- what only durable logs have -------------------------------------------------------------


async def test_nothing_is_kept_for_a_session_that_is_over(backend, alice):
    log = backend.events
    await backend.store.end(alice)
    log.forget(alice)
    with pytest.raises(SessionNotFound):
        await log.begin(call(alice))
    assert await log.put(alice, b"x") == 0
    await backend.answers.expect(alice, "asker", question_id("asker", b"?", 1))
    assert not await backend.answers.deliver(alice, question_id("asker", b"?", 1), b"yes")
    await backend.watches.watch(alice, frozenset({"lists"}))
    assert await backend.watches.announce("lists", b"changed") == []
    if backend.lease is not None:
        assert await backend.lease.acquire(alice, SESSION_STREAM, "f", force=True) == 0


async def test_a_call_outlives_its_process(tmp_path):
    async with opened("sqlite", tmp_path) as before:
        one = session(subject="alice", issuer="")
        await before.store.create(one, max_unbound=100)
        kept = call(one.id)
        await before.events.begin(kept)
        await before.events.append(one.id, "c", 1, [b"x"], last=False)
        assert await before.ownership.claim(one.id, "c") == kept  # a claim that was cut short
        done = replace(kept, stream_id="d")
        await before.events.begin(done)
        await before.events.append(one.id, "d", 1, [b"x"], last=True)
    async with opened("sqlite", tmp_path) as after:
        assert not await after.events.append(one.id, "c", 2, [b"y"], last=False)  # not ours yet
        assert await after.ownership.claim(one.id, "c") == kept
        assert await after.events.append(one.id, "c", 2, [b"y"], last=True)
        assert await contents(after.events, one.id) == ([(1, b"x"), (2, b"y")], True)
        assert await after.ownership.claim(one.id, "d") is None  # it is finished


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_what_is_finished_is_dropped_when_its_time_is_over(tmp_path, kind):
    now = 1000.0
    async with opened(kind, tmp_path, clock=lambda: now) as backend:
        one = session(subject="alice", issuer="")
        await backend.store.create(one, max_unbound=100)
        await backend.events.begin(call(one.id))
        await backend.events.append(one.id, "c", 1, [b"x"], last=True)
        await backend.events.sweep(now + KEEP_FINISHED_S - 1)
        assert await backend.events.read(one.id, "c", 0) is not None
        await backend.events.sweep(now + KEEP_FINISHED_S + 1)
        assert await backend.events.read(one.id, "c", 0) is None


# --- ids -------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_id", [b"1", b'"a b"', b"0", b'""', b"-1.5", b'"\\u00fc-."'])
def test_a_stream_id_carries_its_request(request_id):
    ours = SessionId("s")
    stream_id = new_stream_id(ours, request_id)
    assert read_event_id(event_id(stream_id, 7)) == (stream_id, 7)
    assert request_of(ours, stream_id) == request_id
    assert request_of(SessionId("t"), stream_id) is None
    asked = question_id(stream_id, b"how?", 2)
    assert asker_of(asked) == stream_id


@pytest.mark.parametrize("text", ["", ".", "x", "x.", ".1", "x.-1", "x.1e3", "x.\u0661", "y" * 300])
def test_what_is_no_event_id(text):
    assert read_event_id(text) is None


def test_a_long_request_id_is_left_out():
    stream_id = new_stream_id(SessionId("s"), b'"' + b"x" * 100 + b'"')
    assert request_of(SessionId("s"), stream_id) is None


def test_without_other_processes_signals_go_nowhere():
    bus = Bus()
    assert not bus.shared
