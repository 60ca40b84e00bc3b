"""Who writes and who reads a stream, without a server."""

import time

import pytest
import trio
import trio.testing

from mcpd.coalescing import BURST_S
from mcpd.errors import StoreError
from mcpd.mcp.streams.hub import StreamHub
from mcpd.mcp.streams.reader import End, Reader
from mcpd.mcp.streams.writer import CallWriter, StreamLost, WriterState
from mcpd.sessions.backend import Backend
from mcpd.sessions.bus import Signal, SignalKind
from mcpd.sessions.memory.answers import MemoryAnswers
from mcpd.sessions.memory.events import MemoryEvents
from mcpd.sessions.memory.kept import KeptSessions
from mcpd.sessions.memory.store import MemoryStore
from mcpd.sessions.memory.watches import MemoryWatches
from mcpd.sessions.record import SessionId
from mcpd.sessions.streams import MAX_EVENTS, SESSION_STREAM, KeptCall

S = SessionId("s")


def hub() -> StreamHub:
    """Over a log that knows every session."""
    kept = KeptSessions()
    events = MemoryEvents(kept)
    watches = MemoryWatches(kept, events)
    return StreamHub(Backend(MemoryStore(), events, MemoryAnswers(kept), watches))


def call(stream_id: str = "c") -> KeptCall:
    return KeptCall(S, stream_id, b"{}", "alice")


async def read(reader: Reader) -> list[bytes]:
    return [event.data for event in await reader.next()]


async def test_the_oldest_messages_of_a_stream_go_first():
    streams = hub()
    writer = streams.open_writer(call())
    for number in range(MAX_EVENTS + 50):
        await writer.send(b"%d" % number)
    with streams.open_reader(S, "c", 0) as reader:
        first, *_ = await reader.next()
    assert first.number == 51


async def test_a_call_that_sends_nothing_first_leaves_no_trace():
    streams = hub()
    writer = streams.open_writer(call())
    await writer.finish(b"answer")
    assert (writer.state, writer.plain_answer) == (WriterState.PLAIN, b"answer")
    assert writer.settled.is_set()
    assert await streams.events.read(S, "c", 0) is None


async def test_a_reader_gets_what_was_and_what_comes_and_the_end():
    streams = hub()
    writer = streams.open_writer(call())
    await writer.send(b"1")
    with streams.open_reader(S, "c", 0) as reader:
        assert await read(reader) == [b"1"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.finish, b"2")
            assert await read(reader) == [b"2"]
        assert await reader.next() == []
        assert reader.end is End.FINISHED
    with streams.open_reader(S, "c", 1) as late:
        assert await read(late) == [b"2"]


async def test_a_message_whose_sending_was_cancelled_does_not_lend_its_number_to_the_next(
    monkeypatch,
):
    """The log keeps a message at once and says so later, as one far away does."""
    streams = hub()
    log, append = streams.events, streams.events.append

    async def append_slowly(*args, **options):
        kept = await append(*args, **options)
        await trio.sleep(0.05)
        return kept

    monkeypatch.setattr(log, "append", append_slowly)
    writer = streams.open_writer(call())
    await writer.send(b"1")
    with trio.move_on_after(0.01):
        await writer.send(b"2, perhaps")
    await writer.finish(b"3")
    page = await log.read(S, "c", 0)
    assert page is not None
    assert [(event.number, event.data) for event in page.events] == [
        (1, b"1"),
        (2, b"2, perhaps"),
        (3, b"3"),
    ]
    assert page.finished


async def test_a_stream_that_another_process_took_is_not_written_any_more():
    streams = hub()
    log = streams.events
    writer = streams.open_writer(call())
    await writer.send(b"1")
    log.forget(S)
    with pytest.raises(StreamLost):
        await writer.send(b"2")
    assert writer.state is WriterState.LOST


async def test_an_older_reader_of_a_call_ends_and_of_a_session_waits():
    streams = hub()
    log = streams.events
    await streams.open_writer(call()).send(b"x")
    old, new = streams.open_reader(S, "c", 0), streams.open_reader(S, "c", 0)
    assert await old.next() == []
    assert old.end is End.OVERTAKEN
    assert await read(new) == [b"x"]
    first, second = (streams.open_reader(S, SESSION_STREAM, 0) for _ in range(2))

    async def put(data: bytes) -> None:
        await log.put(S, data)
        streams.session_grew(S)

    await put(b"y")
    assert await read(second) == [b"y"]
    with trio.move_on_after(0.05) as scope:
        await first.next()
    assert scope.cancelled_caught
    second.__exit__()
    await put(b"z")
    assert await read(first) == [b"z"]  # y went out on the other stream, and never goes out twice


async def test_a_disconnect_ends_the_connection_and_not_the_stream():
    streams = hub()
    writer = streams.open_writer(call())
    await writer.send(b"1")
    with streams.open_reader(S, "c", 1) as reader:
        streams.disconnect_calls(500)
        assert await reader.next() == []
        assert (reader.end, reader.readers.retry_ms) == (End.DISCONNECTED, 500)
    await writer.finish(b"2")
    with streams.open_reader(S, "c", 1) as again:
        assert await read(again) == [b"2"]


def held(monkeypatch, log, name):
    """The log's method waits before it returns; gives when it began, and lets it go on."""
    began, go_on, real = trio.Event(), trio.Event(), getattr(log, name)

    async def slowly(*args, **options):
        began.set()
        await go_on.wait()
        return await real(*args, **options)

    monkeypatch.setattr(log, name, slowly)
    return began, go_on


async def test_a_writer_that_is_given_up_while_it_opens_sends_nothing(monkeypatch):
    streams = hub()
    began, go_on = held(monkeypatch, streams.events, "begin")
    writer = streams.open_writer(call())

    async def send():
        with pytest.raises(StreamLost):
            await writer.send(b"1")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await began.wait()
        streams.abandon()
        go_on.set()
    assert writer.state is WriterState.FAILED
    await writer.open()  # one that is over is left as it is
    assert writer.state is WriterState.FAILED


async def test_a_writer_that_is_given_up_while_it_finishes_has_finished_in_the_log(monkeypatch):
    streams = hub()
    writer = streams.open_writer(call())
    await writer.send(b"1")
    began, go_on = held(monkeypatch, streams.events, "append")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.finish, b"2")
        await began.wait()
        streams.abandon()
        go_on.set()
    page = await streams.events.read(S, "c", 0)
    assert page is not None
    assert page.finished


async def test_a_writer_that_is_given_up_takes_nothing_over():
    streams = hub()
    writer = streams.open_writer(call())
    streams.abandon()
    writer.take_over([])
    assert not writer.is_live


async def test_a_writer_knows_whether_its_stream_is_read_here_or_elsewhere():
    """A call that no client reads ends sooner."""
    streams = hub()
    told: list[bool] = []
    writer = streams.open_writer(call())
    writer.readers.on_presence = told.append
    with streams.open_reader(S, "c", 0):
        assert told == [True]
    assert told[1:] == [False]
    streams.bus.deliver(Signal(SignalKind.READ_ELSEWHERE, S, "c"))
    with streams.open_reader(S, "c", 0):
        pass
    assert told[2:] == [True, True, True]  # the other process still has its reader
    streams.bus.deliver(Signal(SignalKind.READER_LEFT, S, "c"))
    assert told[5:] == [False]


async def test_a_reader_that_leaves_an_unfinished_call_is_told_to_the_process_that_writes_it():
    streams = hub()
    said: list[Signal] = []
    streams.bus.publish = said.append  # type: ignore[method-assign]
    with streams.open_reader(S, "c", 0):
        pass
    assert said == [Signal(SignalKind.READER_LEFT, S, "c")]
    with streams.open_reader(S, SESSION_STREAM, 0):
        pass
    assert len(said) == 1


async def test_an_answer_that_cannot_be_kept_goes_to_the_reader_that_is_there(monkeypatch):
    streams = hub()
    writer = streams.open_writer(call())
    await writer.send(b"1")

    async def full(*args: object, **options: object) -> bool:
        raise StoreError("full", lasting=True)

    monkeypatch.setattr(streams.events, "append", full)
    with streams.open_reader(S, "c", 1) as reader:
        await writer.finish(b"2")
        assert await read(reader) == [b"2"]
        assert await reader.next() == []
        assert reader.end is End.FINISHED
    other = streams.open_writer(call("d"))
    monkeypatch.undo()
    await other.send(b"1")
    monkeypatch.setattr(streams.events, "append", full)
    async with trio.open_nursery() as nursery:  # no connection reads: it waits for one
        nursery.start_soon(other.finish, b"2")
        await trio.testing.wait_all_tasks_blocked()
        with streams.open_reader(S, "d", 1) as reader:
            assert await read(reader) == [b"2"]
            assert await reader.next() == []


@pytest.fixture
async def running(nursery):
    streams = hub()
    nursery.start_soon(streams.run_upkeep)
    await trio.testing.wait_all_tasks_blocked()
    return streams


def counted(monkeypatch, log) -> list[tuple[str, list[bytes], bool]]:
    """What is asked of the log, from here on: what, with which messages, and whether the last."""
    asked: list[tuple[str, list[bytes], bool]] = []
    begin, append = log.begin, log.append

    async def counted_begin(call, messages=(), *, last=False, unread=False):
        asked.append(("begin", list(messages), last))
        await begin(call, messages, last=last, unread=unread)

    async def counted_append(*place, last, unread=False):
        if not asked or asked[-1][:2] != ("begin", list(place[-1])):  # memory begins with one
            asked.append(("append", list(place[-1]), last))
        return await append(*place, last=last, unread=unread)

    monkeypatch.setattr(log, "begin", counted_begin)
    monkeypatch.setattr(log, "append", counted_append)
    return asked


async def test_a_quick_call_is_kept_in_one_step(running, monkeypatch):
    asked = counted(monkeypatch, running.events)
    writer = running.open_writer(call())
    with running.open_reader(S, "c", 0) as reader:
        await writer.post(b"1")
        await writer.post(b"2")
        await writer.finish(b"answer")
        assert asked == [("begin", [b"1", b"2", b"answer"], True)]
        assert writer.state is WriterState.FINISHED
        assert await read(reader) == [b"1", b"2", b"answer"]
        assert reader.has_ended
        assert await reader.next() == []
        assert reader.end is End.FINISHED


async def test_what_was_posted_goes_before_what_is_sent(running):
    writer = running.open_writer(call())
    await writer.post(b"1")
    await writer.send(b"question")
    await writer.post(b"2")
    await writer.finish(b"answer")
    with running.open_reader(S, "c", 0) as reader:
        assert await read(reader) == [b"1", b"question", b"2", b"answer"]


async def test_a_posted_message_goes_out_while_the_call_runs_on(running):
    writer = running.open_writer(call())
    await writer.post(b"1")
    await trio.testing.wait_all_tasks_blocked()
    with running.open_reader(S, "c", 0) as reader:
        assert await read(reader) == [b"1"]
    assert writer.is_live


async def test_a_posted_message_finds_that_the_stream_is_lost(running):
    writer = running.open_writer(call())
    await writer.send(b"1")
    lost = trio.Event()
    writer.on_lost = lost.set
    running.events.forget(S)
    await writer.post(b"2")
    await lost.wait()
    with pytest.raises(StreamLost):
        await writer.post(b"3")


@pytest.mark.parametrize("lasting", [True, False])
async def test_an_answer_goes_out_plainly_if_not_even_the_first_messages_can_be_kept(
    running, monkeypatch, lasting
):
    async def refuse(*args: object, **options: object) -> None:
        raise StoreError("full", lasting=lasting)

    monkeypatch.setattr("mcpd.sessions.retry.STORE_AWAY_LIMIT_S", 0.0)
    monkeypatch.setattr(running.events, "begin", refuse)
    writer = running.open_writer(call())
    await writer.post(b"1")
    await writer.finish(b"answer")
    assert (writer.state, writer.plain_answer) == (WriterState.PLAIN, b"answer")


async def test_numbers_of_first_messages_whose_fate_is_not_known_are_not_used_again(
    running, monkeypatch
):
    """The log keeps them, and the writer does not hear of it."""
    log, begin = running.events, running.events.begin

    async def begin_unheard(*args: object, **options: object) -> None:
        await begin(*args, **options)
        monkeypatch.setattr(log, "begin", begin)
        raise StoreError("unheard", lasting=True)

    monkeypatch.setattr(log, "begin", begin_unheard)
    writer = running.open_writer(call())
    with pytest.raises(StoreError):
        await writer.send(b"1, perhaps")
    await writer.send(b"2")
    await writer.finish(b"3")
    page = await log.read(S, "c", 0)
    assert [(event.number, event.data) for event in page.events] == [
        (1, b"1, perhaps"),
        (2, b"2"),
        (3, b"3"),
    ]


async def test_numbers_that_are_taken_by_nothing_are_no_news(running, monkeypatch):
    log = running.events
    writer = running.open_writer(call())
    await writer.send(b"1")

    async def refuse(*args: object, **options: object) -> None:
        raise StoreError("refused")

    with monkeypatch.context() as refusing:
        refusing.setattr(log, "append", refuse)
        refusing.setattr("mcpd.sessions.retry.STORE_AWAY_LIMIT_S", 0.0)
        with pytest.raises(StoreError):
            await writer.send(b"2")
    with running.open_reader(S, "c", 1) as reader:
        assert not reader.has_news
        await writer.send(b"3")
        assert reader.has_news


async def test_a_message_that_comes_alone_is_with_its_reader_before_its_function_goes_on(
    running, nursery
):
    """Many times, since the turns of the event loop are in random order."""
    for number in range(30):
        writer = running.open_writer(call(f"c{number}"))
        got: list[bytes] = []

        async def follow(name: str, got: list[bytes], writer: CallWriter) -> None:
            with running.open_reader(S, name, 0, returning=False) as reader:
                await writer.settled.wait()
                while events := await reader.next():
                    got += [event.data for event in events]

        nursery.start_soon(follow, f"c{number}", got, writer)
        await trio.testing.wait_all_tasks_blocked()
        time.sleep(2 * BURST_S)  # the function computes
        await writer.post(b"first")
        assert got == [b"first"]
        await writer.finish(b"answer")
