"""Bytes of a connection: the same verdict however they are cut and whatever was before, never
more lenient than h11, and with bounded work.
"""

import re
import sys
from dataclasses import dataclass, field
from typing import Any

import h11
from hypothesis import strategies as st

from mcpd.errors import PeerError
from mcpd.http import bounds
from mcpd.http.heads import METHODS, Head
from mcpd.http.parser import RequestParser
from tests.fuzz.drawing import COMMON, cuts, mutated, pieces
from tests.fuzz.target import Target, corpus

MAX_HEAD_BYTES = 2048
MAX_MESSAGES = 64  # that are taken of one input
BEFORE = b"GET /before HTTP/1.1\r\nHost: h\r\n\r\n"

SEEDS = corpus("http")
TOKENS = (
    *COMMON, b"GET ", b"POST ", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"HTTP/2.0", b"Host: a\r\n",
    b"Content-Length: 3\r\n", b"Content-Length: 03\r\n", b"Content-Length: 3, 3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Expect: ",
    b"100-continue", b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: x\r\n", b" folded",
    b"\r\n folded: x\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"5;a=b\r\nhello\r\n", b"ffffffff\r\n",
    b"http://a/", b"*", b"/%zz", b"/%c3%a9", b"#f", b"X: " + b"y" * 700 + b"\r\n", b"PRI * ",
    b"transfer-encoding : chunked\r\n", b"X-\xe9: y\r\n", BEFORE,
)  # fmt: skip


@dataclass
class Seen:
    """What came of the bytes of one connection."""

    messages: list[tuple[Any, ...]] = field(default_factory=list)
    body: bytes = b""  # of the last one, which is not complete
    error: tuple[str, int] | None = None
    wants_more: bool = False  # a part of a message is there


def plain(head: Head) -> tuple[Any, ...]:
    """A head as a value that can be compared."""
    return (
        head.method, head.path, head.query, tuple(head.headers.items()), head.host, head.http_10,
        head.wants_close, head.expects_continue, head.body_length,
    )  # fmt: skip


def read(
    parts: list[bytes], *, max_head_bytes: int = MAX_HEAD_BYTES, at_once: bool = False
) -> Seen:
    """Feed a parser piece by piece, and take everything after each.

    Args:
        at_once: take a body whole where it is there, as a connection does.
    """
    parser, seen, head = RequestParser(max_head_bytes), Seen(), None
    try:
        for part in parts:
            parser.feed(part)
            head = _take(parser, seen, head, at_once=at_once)
    except PeerError as error:
        seen.error = (type(error).__name__, error.status)
        return seen
    seen.wants_more = head is not None or parser.has_bytes
    return seen


def _take(parser: RequestParser, seen: Seen, head: Head | None, *, at_once: bool) -> Head | None:
    while len(seen.messages) < MAX_MESSAGES:
        if head is None:
            head = parser.next_head()
            if head is None:
                return None
            seen.body = (parser.whole_body() or b"") if at_once else b""
        piece = parser.next_body()
        if piece is None:
            return head
        seen.body += piece
        if not piece and parser.body_complete:
            seen.messages.append((*plain(head), seen.body))
            seen.body, head = b"", None
    return None


def is_same(one: Seen, other: Seen) -> bool:
    """Whether two verdicts are the same. Of a head that is too large and wrong besides, either may
    be said: it depends on how much of it has come; and so does how much of a body is given before
    its framing breaks.
    """
    if not (one.error and other.error):
        return one == other
    alike = one.error == other.error or 431 in (one.error[1], other.error[1])
    begun = one.body.startswith(other.body) or other.body.startswith(one.body)
    return alike and begun and one.messages == other.messages


def check_split(value: tuple[bytes, list[int]]) -> None:
    """Whole or in pieces, first or after another request, once or twice: the same verdict."""
    data, shares = value
    whole = read([data])
    cut = read(pieces(data, shares))
    late = 431 in [seen.error[1] for seen in (cut, whole) if seen.error]
    what = "the bound on a head" if late else "the verdict"
    assert is_same(cut, whole), f"{what} depends on where the bytes are cut"
    assert is_same(read(pieces(data, shares), at_once=True), whole), "a body taken whole differs"
    check_remembered(data, whole)
    after = read([BEFORE + data])
    assert after.messages[0] == read([BEFORE]).messages[0]
    after.messages = after.messages[1:]
    if len(whole.messages) < MAX_MESSAGES - 1:
        assert is_same(after, whole), "the verdict depends on what was remembered"
    if whole.error is None and not whole.wants_more and 2 * len(whole.messages) < MAX_MESSAGES:
        assert read([data, data]).messages == 2 * whole.messages, "a remembered head differs"


def check_remembered(data: bytes, whole: Seen) -> None:
    """A head that differs in its letters' case alone is another head."""
    small = read([data.lower()])
    if small.messages and not small.error and not small.wants_more:
        both = read([data.lower() + data])
        if len(both.messages) < MAX_MESSAGES:
            assert both.messages == small.messages + whole.messages, "a head like it was taken"


def count_calls(parts: list[bytes]) -> int:
    """How many functions are called to read the pieces."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        read(parts)
    finally:
        sys.setprofile(before)
    return count


CALLS_PER_BYTE = 60
CALLS_PER_PIECE = 60
CALLS_AT_LEAST = 500


def check_work(value: tuple[bytes, list[int]]) -> None:
    """The work grows with the bytes and the pieces, and not faster."""
    parts = pieces(*value)
    allowed = CALLS_AT_LEAST + CALLS_PER_BYTE * len(value[0]) + CALLS_PER_PIECE * len(parts)
    assert count_calls(parts) <= allowed, "more work than the bytes explain"


# --- against h11 -----------------------------------------------------------------------------


def plain_h11(data: bytes) -> tuple[list[tuple[h11.Request, bytes]], h11.Request | None, str]:
    """The same bytes read by h11 alone: complete messages, the last request if it is not complete,
    and how it ends: "error" or "more".
    """
    found: list[tuple[h11.Request, bytes]] = []
    while len(found) < MAX_MESSAGES:
        data = data.lstrip(b"\r\n")  # h11 refuses these; see DIFFERENCES
        if not data:  # it would mean the end to h11
            break
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        request, body = None, b""
        try:
            connection.receive_data(data)
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    return found, request, "more"
                if isinstance(event, h11.Request):
                    request = event
                else:
                    body += event.data
        except h11.RemoteProtocolError:
            return found, request, "error"
        assert request is not None
        found.append((request, body))
        data = connection.trailing_data[0]
    return found, None, "more"


END = b"\r\n\r\n"
_LINE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\r\n")
_FIELD = re.compile(rb"[^\x00-\x20\x7f-\xff:(),/;<=>?@\[\\\]{}\"]+:[\t\x20-\x7e\x80-\xff]*\r\n")


def seen_by(name: str, rest: bytes) -> bytes:
    """What a difference is looked for in: the head, or with the body."""
    return rest if name.startswith("chunks that") else rest.partition(END)[0] + END


def begins_with_chunks(data: bytes, *, bounded: bool = True) -> bool:
    """Whether there is a chunked body by the letter, with little around its data."""
    around, size = 0, -1
    while size:
        line = _LINE.match(data)
        digits = re.match(rb"[0-9A-Fa-f]{1,16}(?=[ \t]*[;\r])", data)
        if line is None or digits is None:
            return False
        size, around = int(digits[0], 16), around + len(line[0])
        data = data[len(line[0]) :]
        if size and data[size : size + 2] != b"\r\n":
            return False
        data = data[size + 2 :] if size else data
    while field := _FIELD.match(data):
        data, around = data[len(field[0]) :], around + len(field[0])
    return data[:2] == b"\r\n" and (around <= bounds.MAX_CHUNK_LINE_BYTES or not bounded)


def _lengths(request: h11.Request, data: bytes) -> list[bytes]:
    lines = data.lower().split(b"\r\n")
    return [line for line in lines if line.startswith(b"content-length")]


def _names(request: h11.Request) -> set[bytes]:
    return {name for name, _ in request.headers}


# Where this server is stricter than h11, on purpose: a name, and how to see it in what h11 read and
# in the bytes of the head. Beside these it skips empty lines before a request (RFC 9112, 2.2).
DIFFERENCES = {
    "more than the bound": lambda request, head: len(head) > MAX_HEAD_BYTES,
    "a bare CR or LF": lambda request, head: (
        head.count(b"\n") != head.count(b"\r\n") or head.count(b"\r") != head.count(b"\r\n")
    ),
    "a control character": lambda request, head: any(
        (octet < 32 and octet not in (9, 10, 13)) or octet == 127 for octet in head
    ),
    "a folded line": lambda request, head: b"\r\n " in head or b"\r\n\t" in head,
    "several lengths": lambda request, head: (
        len(_lengths(request, head)) > 1 or any(b"," in line for line in _lengths(request, head))
    ),
    "a length beside chunks": lambda request, head: (
        {b"content-length", b"transfer-encoding"} <= _names(request)
    ),
    "chunks in HTTP/1.0": lambda request, head: (
        request.http_version == b"1.0" and b"transfer-encoding" in _names(request)
    ),
    "a method that HTTP does not have": lambda request, head: request.method not in METHODS,
    "a version beside 1.0 and 1.1": lambda request, head: (
        request.http_version not in (b"1.0", b"1.1")
    ),
    "a target that is neither path nor URL": lambda request, head: request.target[:1] != b"/",
    "a fragment": lambda request, head: b"#" in request.target,
    "chunks that are not by the letter, or are too small": lambda request, head: (
        b"transfer-encoding" in _names(request) and not begins_with_chunks(head.partition(END)[2])
    ),
    "percent-encoding": lambda request, head: b"%" in request.target,
}


def check_h11(data: bytes) -> None:
    """What h11 refuses is refused, what it reads is read alike, and what is refused beyond that
    has a name.
    """
    ours = read([data])
    theirs, last, end = plain_h11(data)
    for ours_message, (request, body) in zip(ours.messages, theirs, strict=False):
        assert ours_message[0] == request.method.decode(), "another method"
        assert dict(ours_message[3]) == _first_values(request), "other header fields"
        assert ours_message[-1] == body, "another body"
    check_strict(data, theirs[: len(ours.messages)])
    if end == "error" and last is not None and has_spaced_extension(last, data, theirs):
        return  # what h11 did not read cannot be compared
    assert len(ours.messages) <= len(theirs), "a message is read where h11 reads none"
    if len(ours.messages) >= MAX_MESSAGES:
        return
    if ours.error is None:
        assert len(ours.messages) == len(theirs), "a message is missing that h11 reads"
        assert end == "more", "bytes are taken that h11 refuses"
        return
    number = len(ours.messages)
    refused = theirs[number][0] if number < len(theirs) else last
    if refused is not None and end_of(number, theirs, end) != "error":
        rest = _rest_behind(data, theirs[:number])
        names = [name for name, holds in DIFFERENCES.items() if holds(refused, seen_by(name, rest))]
        assert names, f"refused for no known reason: {ours.error}"
    elif refused is None:
        assert end == "error", f"refused where h11 waits for more: {ours.error}"


# Where h11 is stricter than RFC 9112, section 7.1.1: white space in front of an extension.
_SPACED = re.compile(rb"\r\n[0-9A-Fa-f]+[ \t]+;")


def has_spaced_extension(request: h11.Request, data: bytes, messages: list[Any]) -> bool:
    """Whether the message that h11 refuses after these is such a one."""
    rest = _rest_behind(data, messages)
    return b"transfer-encoding" in _names(request) and _SPACED.search(rest) is not None


# What may be served all the same: URLs, valid escapes; chunks are looked at elsewhere.
MAY_PASS = ("a target that", "percent-encoding", "chunks that")


def check_strict(data: bytes, messages: list[tuple[h11.Request, bytes]]) -> None:
    """What is served has none of what is refused on purpose."""
    for number, (request, _) in enumerate(messages):
        head = seen_by("", _rest_behind(data, messages[:number]))
        for name, holds in DIFFERENCES.items():
            if not name.startswith(MAY_PASS):
                assert not holds(request, head), f"served in spite of {name}"
        if b"transfer-encoding" in _names(request):
            body = _rest_behind(data, messages[:number]).partition(END)[2]
            assert begins_with_chunks(body, bounded=False), "chunks are read that are none"


def end_of(number: int, theirs: list[Any], end: str) -> str:
    """How h11 ended at this message: a complete one has no error."""
    return "complete" if number < len(theirs) else end


def _first_values(request: h11.Request) -> dict[bytes, bytes]:
    first: dict[bytes, bytes] = {}
    for name, value in request.headers:
        first.setdefault(name, value)
    return first


def _rest_behind(data: bytes, messages: list[Any]) -> bytes:
    """What h11 has not read after as many messages."""
    for _ in messages:
        data = data.lstrip(b"\r\n")
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        connection.receive_data(data)
        while not isinstance(connection.next_event(), h11.EndOfMessage):
            pass
        data = connection.trailing_data[0]
    return data.lstrip(b"\r\n")


INPUT = mutated(SEEDS, TOKENS)
TARGETS = [
    Target("http-cuts", st.tuples(INPUT, cuts()), check_split,
           tuple((seed, [0]) for seed in SEEDS), short=120),
    Target("http-work", st.tuples(INPUT, cuts()), check_work,
           (*((seed, [0]) for seed in SEEDS), *((seed, []) for seed in SEEDS)), short=60),
    Target("http-h11", INPUT, check_h11, tuple(SEEDS), short=150),
]  # fmt: skip
