"""Event streams as the living standard reads them."""

import pytest

from mcpd.errors import ContentTooLarge
from mcpd.http.event_reader import EventReader, ServerEvent

CASES = [
    (b"data: x\n\n", [ServerEvent(b"x")]),
    (b"data:x\ndata: y\n\n", [ServerEvent(b"x\ny")]),
    (b"data:  x\n\n", [ServerEvent(b" x")]),
    (b"event: endpoint\ndata: /m\n\n", [ServerEvent(b"/m", "endpoint")]),
    (b"id: 7\ndata: x\n\ndata: y\n\n", [ServerEvent(b"x", id="7"), ServerEvent(b"y", id="7")]),
    (b"id: a\0b\ndata: x\n\n", [ServerEvent(b"x")]),
    (b": comment\n\ndata: x\n\n", [ServerEvent(b"x")]),
    (b"id: 1\ndata: \n\n", []),
    (b"data\n\n", []),
    (b"unknown: y\ndata: x\n\n", [ServerEvent(b"x")]),
    (b"data: unfinished\n", []),
    (b"\xef\xbb\xbfdata: x\n\n", [ServerEvent(b"x")]),
    (b"data: x\r\n\r\ndata: y\r\rdata: z\n\n", [ServerEvent(b"x"), ServerEvent(b"y"),
                                               ServerEvent(b"z")]),
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(("text", "events"), CASES)
def test_events_in_pieces_of_any_size(text, events, size):
    reader = EventReader(1000)
    found = []
    for start in range(0, len(text), size):
        found += reader.feed(text[start : start + size])
    assert found == events


def test_what_is_told_beside_events():
    reader = EventReader(1000, last_id="before")
    assert reader.last_id == "before"
    assert reader.feed(b": a\n: b\nretry: 1500\nid: now\n\nretry: soon\nid: later\n") == []
    assert (reader.retry_ms, reader.last_id, reader.comments) == (1500, "now", 2)


def test_an_event_has_a_bound_and_many_small_ones_have_none():
    reader = EventReader(100)
    for _ in range(100):
        assert len(reader.feed(b"data: 0123456789\n\n")) == 1
    with pytest.raises(ContentTooLarge):
        reader.feed(b"data: " + b"x" * 200)
    lines = EventReader(100)
    for _ in range(6):
        lines.feed(b"data: 0123456789\n")
    with pytest.raises(ContentTooLarge):
        lines.feed(b"data: 0123456789\n")
