"""Counting, putting together, and telling it to Prometheus."""

import shutil
import subprocess

import msgspec
import pytest

from mcpd.events import CallServed, RequestServed
from mcpd.observer import Activity, Observer
from mcpd.telemetry import families
from mcpd.telemetry.exposition import expose
from mcpd.telemetry.families import FAMILIES, OTHER
from mcpd.telemetry.metering import Metering
from mcpd.telemetry.meters import Meters, Snapshot, counts_of, merged
from mcpd.telemetry.report import LogLine, Report, together
from tests.end_to_end.daemon import need


@pytest.fixture
def meters():
    return Meters()


def call(**members):
    given = {
        "activity": Activity("1", 1), "principal": " alice", "session": "", "method": "tools/call",
        "target": "add", "code": 0, "is_error": False, "cancelled": False, "seconds": 0.03,
        "client": "Claude Code 2.1", "revision": "2026-07-28",
    }  # fmt: skip
    return CallServed(**{**given, **members})


def filled() -> Meters:
    """Something in every family."""
    meters = Meters()
    for family in FAMILIES:
        labels = tuple(f'{label} "x\\\n' for label in family.labels)
        if family.kind == "histogram":
            meters[family].observe(labels, 0.02)
        else:
            meters[family].add(labels, 3)
    return meters


def test_histograms_count_by_size(meters):
    operations = meters[families.OPERATIONS]
    for seconds in (0.01, 0.011, 400.0):
        operations.observe(("ping", "", ""), seconds)
    (series,) = meters.snapshot().of(families.OPERATIONS)
    assert series.buckets == [1, 1, *[0] * 12, 1]
    assert series.value == pytest.approx(400.021)


def test_a_flood_of_names_adds_nothing(meters):
    observer = Observer()
    Metering(meters).listen(observer)
    for number in range(3000):
        observer.tell(call(client=f"client-{number} {number}", revision="x"))
        observer.tell(call(client=f"c{number}\x1b[2J 1"))
    clients = meters.snapshot().of(families.CLIENTS)
    assert len(clients) <= families.CLIENTS.most + 1
    assert sum(series.value for series in clients) == 6000
    assert (OTHER, OTHER, OTHER) in [series.labels for series in clients]
    assert all(label.isprintable() for series in clients for label in series.labels)
    for number in range(3000):
        meters[families.LIMITED].add((f"limit {number}",))
    assert len(meters.snapshot().of(families.LIMITED)) == families.MAX_SERIES + 1


@pytest.mark.parametrize(
    ("members", "labels"),
    [
        ({}, ("tools/call", "add", "")),
        ({"code": -32602}, ("tools/call", "add", "-32602")),
        ({"is_error": True}, ("tools/call", "add", "tool_error")),
        ({"cancelled": True}, ("tools/call", "add", "cancelled")),
        ({"method": "resources/read", "target": "note"}, ("resources/read", "", "")),
    ],
)
def test_what_came_of_a_call_is_told_in_the_words_of_the_conventions(meters, members, labels):
    Metering(meters).call(call(**members))
    assert [one.labels for one in meters.snapshot().of(families.OPERATIONS)] == [labels]


@pytest.mark.parametrize(
    ("client", "version", "labels"),
    [
        ("Visual Studio Code", "", ("Visual Studio Code", "")),
        ("Claude Code 2.1", "2.1", ("Claude Code", "2.1")),
        ("1.0 1.0", "1.0", ("1.0", "1.0")),
        ("", "", ("", "")),
    ],
)
def test_a_client_is_counted_by_name_and_version(meters, client, version, labels):
    Metering(meters).call(call(client=client, client_version=version))
    assert [one.labels[:2] for one in meters.snapshot().of(families.CLIENTS)] == [labels]


def test_http_answers_are_counted_by_status(meters):
    observer = Observer()
    Metering(meters).listen(observer)
    for status in (200, 200, 404):
        observer.tell(RequestServed(Activity("1", 1), "POST", "/mcp/", "::1", status, 10, 0.1))
    snapshot = meters.snapshot()
    assert snapshot.value(families.HTTP, "200") == 2
    assert snapshot.value(families.HTTP_BYTES) == 30


def test_processes_are_added_and_what_they_share_is_not():
    one, other = filled().snapshot(), filled().snapshot()
    both = merged([one, other])
    assert both.of(families.HTTP)[0].value == 6
    assert both.of(families.SESSIONS)[0].value == 3  # of one store
    assert both.of(families.CONNECTIONS)[0].value == 6
    assert both.of(families.OPERATIONS)[0].buckets[1] == 2
    assert one.of(families.HTTP)[0].value == 3  # they are as they were
    gone = counts_of(one, one)
    assert gone.of(families.HTTP)
    assert not gone.of(families.CONNECTIONS)


def test_a_snapshot_travels_and_unknown_families_are_left_out():
    sent = msgspec.json.decode(msgspec.json.encode(filled().snapshot()), type=Snapshot)
    assert sent == filled().snapshot()
    sent.families["of a newer version"] = sent.of(families.HTTP)
    assert "of a newer version" not in merged([sent]).families


def test_reports_of_workers_become_one():
    reports = [
        Report([1], "s 1", "redis", "ok", [], lines=[LogLine(2.0, "error", "x", "two")]),
        Report([2], "s 1", "redis", "unavailable", ["store unavailable"]),
    ]
    whole = together(reports, lines=[LogLine(1.0, "warning", "x", "one")])
    assert (whole.pids, whole.store_state) == ([1, 2], "unavailable")
    assert whole.missing == ["store unavailable"]
    assert [line.message for line in whole.lines] == ["one", "two"]
    assert together([]) == Report()


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0"])
def test_every_family_is_told_to_prometheus(accept):
    body, kind = expose(filled().snapshot(), accept)
    text = body.decode()
    assert ("openmetrics" in kind) is bool(accept)
    assert 'mcp_server_operation_duration_seconds_bucket{error_type="error.type \\"x' in text
    assert "mcpd_client_calls_total{" in text
    assert text.count("# TYPE") == len(FAMILIES)


def test_promtool_is_content():
    need(shutil.which("promtool") is not None, "promtool")
    body, _ = expose(filled().snapshot(), "")
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_is_counted_of_dead_processes_has_a_bound_and_never_shrinks():
    def full(first: int) -> Snapshot:
        meters = Meters()
        for number in range(families.CLIENTS.most):
            meters[families.CLIENTS].add((f"client {first + number}", "1", "x"))
        return meters.snapshot()

    kept = counts_of(full(0))
    for generation in range(1, 4):
        before = {one.labels: one.value for one in kept.of(families.CLIENTS)}
        kept = counts_of(kept, full(150 * generation))
        after = {one.labels: one.value for one in kept.of(families.CLIENTS)}
        assert all(after[labels] >= value for labels, value in before.items())
    assert len(kept.of(families.CLIENTS)) == families.CLIENTS.most + 1
    assert sum(after.values()) == 4 * families.CLIENTS.most


def test_a_tool_too_many_is_counted_with_its_method_and_its_error():
    meters = Meters()
    for number in range(families.OPERATIONS.most + 50):
        meters[families.OPERATIONS].observe(("tools/call", f"tool {number}", ""), 0.1)
    labels = [one.labels for one in meters.snapshot().of(families.OPERATIONS)]
    assert ("tools/call", OTHER, "") in labels
    assert (OTHER, OTHER, OTHER) not in labels
