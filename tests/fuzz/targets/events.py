"""Event streams: the same events however the bytes are cut, and those of the standard."""

from typing import Any

from hypothesis import strategies as st

from mcpd.errors import ContentTooLarge
from mcpd.http import sse
from mcpd.http.event_reader import MAX_RETRY_MS, EventReader
from tests.fuzz.drawing import COMMON, cuts, mutated, pieces
from tests.fuzz.target import Target, corpus

MAX_BYTES = 1024 * 1024
SMALL_BYTES = 40
SEEDS = corpus("events")
TOKENS = (
    *COMMON, b"data: ", b"data:", b"data\n", b"id: 7\n", b"id\n", b"event: x\n", b"retry: 15\n",
    b"retry: -1\n", b"retry: \xd9\xa1\n", b"retry: 99999999999999\n", b": c\n", b"\n\n", b"\r\r",
    b"\r\n\r\n", b"Data: x\n", b" data: x\n", b"id: a\0b\n",
)  # fmt: skip
INPUT = st.tuples(mutated(SEEDS, TOKENS), cuts())


def feed(parts: list[bytes], max_bytes: int) -> list[Any]:
    """Events, and what was told beside them."""
    reader, found = EventReader(max_bytes, last_id="before"), []
    for part in parts:
        found += [(event.data, event.name, event.id) for event in reader.feed(part)]
    return [*found, reader.last_id, reader.retry_ms, reader.comments]


def by_the_standard(data: bytes) -> list[Any]:
    """HTML Living Standard, section 9.2.6, read slowly; events without data are left out here."""
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found: list[Any] = []
    told, last_id, retry, comments = "before", "before", None, 0
    lines: list[bytes] = []
    name = ""
    for line in data.split(b"\n")[:-1]:
        key, colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            told = last_id
            if b"\n".join(lines):
                found.append((b"\n".join(lines), name or "message", last_id))
            lines, name = [], ""
        elif not key and colon:
            comments += 1
        elif key == b"data":
            lines.append(value)
        elif key == b"event":
            name = value.decode("utf-8", "replace")
        elif key == b"id" and b"\0" not in value:
            last_id = value.decode("utf-8", "replace")
        elif key == b"retry" and value and not value.strip(b"0123456789"):
            retry = min(int(value[:20]), MAX_RETRY_MS)
    return [*found, told, retry, comments]


def check_events(value: tuple[bytes, list[int]]) -> None:
    """Whole, in pieces, and by the standard."""
    data, shares = value
    expected = by_the_standard(data)
    where = "after a CR " if data.endswith(b"\r") or b"\r" in data.replace(b"\r\n", b"") else ""
    assert feed([data], MAX_BYTES) == expected, f"other events {where}than the standard has"
    assert feed(pieces(data, shares), MAX_BYTES) == expected, f"other events {where}in pieces"


def check_bound(value: tuple[bytes, list[int]]) -> None:
    """Whether an event passes its bound does not depend on cuts."""
    data, shares = value
    verdicts = []
    for parts in ([data], pieces(data, shares)):
        try:
            verdicts.append(feed(parts, SMALL_BYTES))
        except ContentTooLarge:
            verdicts.append(["too large"])
    assert verdicts[0] == verdicts[1], "the bound on an event depends on where it is cut"


def check_round(value: tuple[bytes, str]) -> None:
    """What our server frames, our client reads."""
    data, event_id = value
    framed = sse.event(data, event_id=event_id or None)
    found = feed([framed], MAX_BYTES)[0]
    assert (found[0], found[2]) == (data, event_id or "before")


LINES = st.binary(min_size=1, max_size=60).filter(lambda b: b"\n" not in b and b"\r" not in b)
TARGETS = [
    Target("events", INPUT, check_events, tuple((seed, [0]) for seed in SEEDS), short=150),
    Target("event-bound", INPUT, check_bound, (), short=60),
    Target("event-round", st.tuples(LINES, st.sampled_from(("", "a.1", "b-c.22"))), check_round,
           (), short=40),
]  # fmt: skip
