"""What workers tell their supervisor, and what it makes of those that tell nothing."""

import logging
import socket
from types import SimpleNamespace

import pytest
import trio

from mcpd.server.reports import REPORT_EVERY_S, ReportReader, ReportSender
from mcpd.server.workers_report import SILENT_S, WorkersReport
from mcpd.telemetry import families
from mcpd.telemetry.logs import LogWriter
from mcpd.telemetry.meters import Meters
from mcpd.telemetry.report import Report


def report(pid: int, calls: int) -> Report:
    meters = Meters()
    meters[families.HTTP].add(("200",), calls)
    meters[families.CONNECTIONS].set(3)
    meters[families.WORKERS].set(1)
    meters[families.READY].set(1)
    return Report([pid], "s 1", "redis", "ok", snapshot=meters.snapshot())


class Pair:
    """Both ends, and what the worker has to tell."""

    def __init__(self):
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.reader = ReportReader(ours)
        self.levels = []
        self.calls = 0
        self.fails = False
        self.sender = ReportSender(theirs, self.collect, self.levels.append)

    async def collect(self):
        if self.fails:
            raise OSError(24, "Too many open files")
        self.calls += 1
        return report(7, self.calls)


@pytest.fixture
async def pair():
    pair = Pair()
    yield pair
    await pair.reader._stream.aclose()
    await pair.sender._stream.aclose()


async def test_reports_come_and_the_last_one_too(pair):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.reader.run)
        with trio.move_on_after(0.2):
            await pair.sender.run()
        with trio.fail_after(5):
            while pair.reader.latest is None or pair.calls < 2:
                await trio.sleep(0.01)
            await trio.sleep(0.05)
        assert pair.reader.latest.snapshot.value(families.HTTP, "200") == pair.calls
        await pair.sender._stream.aclose()
        with trio.fail_after(5):
            await pair.reader.ended.wait()


async def test_what_cannot_be_measured_ends_nothing(pair, caplog):
    pair.fails = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.reader.run)
        nursery.start_soon(pair.sender.run)
        await trio.sleep(0.1)
        pair.fails = False
        with trio.fail_after(10):
            while pair.reader.latest is None:
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    assert caplog.text.count("cannot be told") == 1


async def test_a_supervisor_that_stalls_gets_whole_reports_afterwards(pair, monkeypatch):
    monkeypatch.setattr("mcpd.server.reports.REPORT_EVERY_S", 0.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.sender.run)
        with trio.fail_after(20):
            before = -1
            while before != pair.calls:  # until the socket takes no more
                before = pair.calls
                await trio.sleep(0.3)
        nursery.start_soon(pair.reader.run)
        with trio.fail_after(20):
            while pair.reader.latest is None or pair.calls < before + 10:
                await trio.sleep(0.01)
        await pair.reader.set_level("debug")
        with trio.fail_after(5):
            while not pair.levels:
                await trio.sleep(0.01)
        assert pair.levels == ["debug"]
        nursery.cancel_scope.cancel()
    assert REPORT_EVERY_S > 0


def child(pid, latest, silent_s):
    heard_at = trio.current_time() - silent_s
    return SimpleNamespace(pid=pid, reports=SimpleNamespace(latest=latest, heard_at=heard_at))


async def test_of_a_worker_that_is_silent_only_its_counts_are_told():
    writer = LogWriter()
    children = [child(1, report(1, 10), 1.0), child(2, report(2, 5), SILENT_S + 4)]
    whole = await WorkersReport(children, writer).collect()
    assert whole.snapshot.value(families.HTTP, "200") == 15
    assert whole.snapshot.value(families.WORKERS) == 1
    assert whole.snapshot.value(families.CONNECTIONS) == 3
    assert whole.snapshot.value(families.READY) == 0
    assert whole.missing == ["worker 2 tells nothing since 9 s"]
    assert whole.pids == [1]


async def test_without_workers_nothing_is_ready_and_nothing_counts_backwards():
    writer = LogWriter()
    children = [child(1, report(1, 10), 0.0)]
    reports = WorkersReport(children, writer)
    assert (await reports.collect()).snapshot.value(families.READY) == 1
    reports.ended(children.pop())
    whole = await reports.collect()
    assert whole.missing == ["no worker serves"]
    assert whole.snapshot.value(families.READY) == 0
    assert whole.snapshot.value(families.HTTP, "200") == 10
    assert whole.snapshot.of(families.WORKERS)[0].value == 0


async def test_a_worker_that_comes_later_has_the_level_of_the_others(pair):
    level = logging.getLogger().level
    reports = WorkersReport([], LogWriter())
    try:
        async with trio.open_nursery() as nursery:
            reports.set_level(nursery, "warning")
            reports.begun(nursery, SimpleNamespace(reports=pair.reader))
            with trio.move_on_after(5):
                nursery.start_soon(pair.sender.run)
                while not pair.levels:
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert pair.levels == ["warning"]
    finally:
        logging.getLogger().setLevel(level)
