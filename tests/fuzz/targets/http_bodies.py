"""Bodies by length and in chunks, one behind the other: what was put in comes out, and what is
behind it is untouched.
"""

from typing import Any

from hypothesis import strategies as st

from tests.fuzz.drawing import COMMON, cuts, mutated, pieces
from tests.fuzz.target import Target
from tests.fuzz.targets.http_heads import BEFORE, MAX_MESSAGES, Seen, is_same, read

SIZES = (255, 256, 257, 300, 4095, 4096, 4097)
# (body, chunk size; 0: by length, ending of the chunk size line, trailer)
BODY = st.tuples(
    st.one_of(st.binary(max_size=60), st.sampled_from([b"x" * size for size in SIZES])),
    st.sampled_from((0, 1, 2, 7, 300, 5000)),
    st.sampled_from((b"", b";a=b", b';a="b c"', b" ")),
    st.sampled_from((b"", b"X: y\r\n", b"X: y\r\nZ: 1\r\n")),
)
TAIL = st.one_of(st.just(b""), mutated([BEFORE], (*COMMON, b"GET / HTTP/1.1\r\n")))
INPUT = st.tuples(st.lists(BODY, min_size=1, max_size=4), TAIL, cuts())


def framed(body: bytes, size: int, extension: bytes, trailer: bytes) -> bytes:
    """A request around a body."""
    head = b"POST /x HTTP/1.1\r\nHost: h\r\n"
    if not size:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    size = max(size, len(body) // 100)  # more chunks than that are too small
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    chunks = [b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts]
    return (
        head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n%b\r\n" % trailer
    )


def check(value: tuple[list[Any], bytes, list[int]]) -> None:
    """Bodies, and then whatever the tail is by itself."""
    bodies, tail, shares = value
    data = b"".join(framed(*body) for body in bodies) + tail
    seen, rest = read(pieces(data, shares), at_once=bool(shares)), read([tail])
    assert [message[-1] for message in seen.messages[: len(bodies)]] == [b[0] for b in bodies]
    assert len(seen.messages) < MAX_MESSAGES
    behind = Seen(seen.messages[len(bodies) :], seen.body, seen.error, seen.wants_more)
    assert is_same(behind, rest), "a body took what is behind it, or left something"


TARGETS = [
    Target("http-bodies", INPUT, check,
           (([(b"hello", 2, b";a=b", b"X: y\r\n"), (b"", 0, b"", b"")], BEFORE, [0]),), short=100),
]  # fmt: skip
