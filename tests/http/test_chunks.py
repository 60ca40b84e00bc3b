"""The chunked transfer coding by the letter, and within bounds (RFC 9112, section 7.1)."""

import itertools

import pytest

from mcpd.errors import BadRequest, HeaderFieldsTooLarge
from mcpd.http.bounds import FRAMING_BYTES
from mcpd.http.chunks import ChunkReader
from mcpd.http.parser import RequestParser

GOOD = {
    "plain": (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
    "empty": (b"0\r\n\r\n", b""),
    "many zeros": (b"0003\r\nabc\r\n000\r\n\r\n", b"abc"),
    "extensions": (b'3;a=b; c="d" \r\nabc\r\n0;last\r\n\r\n', b"abc"),
    "trailers": (b"3\r\nabc\r\n0\r\nX-A: 1\r\nX-B:\r\n\r\n", b"abc"),
    "data with line ends": (b"4\r\n\r\n\n\r\r\n0\r\n\r\n", b"\r\n\n\r"),
}
BAD = {
    "no size": b"\r\nabc",
    "sign": b"+3\r\nabc\r\n",
    "prefix": b"0x3\r\nabc\r\n",
    "space in front": b" 3\r\nabc\r\n",
    "underscore": b"1_0\r\n",
    "too many digits": b"1" * 17 + b"\r\n",
    "control character": b"3;\x00\r\nabc\r\n",
    "bare LF behind the size": b"3\nabc\r\n",
    "bare CR behind the size": b"3\rabc\r\n",
    "bare LF behind the data": b"3\r\nabc\n",
    "longer than it says": b"3\r\nabcd\r\n",
    "shorter than it says": b"5\r\nabc\r\n0\r\n\r\n",
    "bare LF at the end": b"0\r\n\n",
    "bare LF in a trailer": b"0\r\nX-A: 1\n\r\n",
    "bare LF behind the trailers": b"0\r\nX-A: 1\r\n\n",
    "a folded trailer": b"0\r\nX-A: 1\r\n 2\r\n\r\n",
    "a trailer without a name": b"0\r\n: 1\r\n\r\n",
}


def read(pieces: list[bytes]) -> tuple[bytes, bytes]:
    chunks, body = ChunkReader(), b""
    for piece in pieces:
        body += chunks.feed(piece)
    assert chunks.ended
    return body, chunks.rest


@pytest.mark.parametrize("case", GOOD)
def test_a_body_is_the_same_in_any_pieces(case):
    wire, body = GOOD[case]
    next_request = b"GET / HTTP/1.1\r\n"
    assert read([wire + next_request]) == (body, next_request)
    assert read([wire[i : i + 1] for i in range(len(wire))]) == (body, b"")


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_by_the_letter_is_refused_in_any_pieces(case):
    wire = BAD[case]
    for pieces in ([wire], [wire[i : i + 1] for i in range(len(wire))]):
        with pytest.raises(BadRequest, match="broken"):
            read(pieces)


@pytest.mark.parametrize(
    "wire",
    [
        b"1\r\nx\r\n" * 100_000,
        b"".join(b"1;" + b"e" * 4000 + b"\r\nx\r\n" for _ in range(100)),
        b"0\r\n" + b"X-A: 1\r\n" * 100_000,
    ],
    ids=["tiny chunks", "long extensions", "endless trailers"],
)
def test_what_is_not_data_is_bounded(wire):
    chunks, pieces = ChunkReader(), (wire[i : i + 1000] for i in range(0, len(wire), 1000))
    with pytest.raises(BadRequest, match="too small"):
        list(map(chunks.feed, itertools.islice(pieces, 2 * FRAMING_BYTES // 1000)))


def test_a_line_that_does_not_end_is_refused():
    with pytest.raises(BadRequest, match="4096"):
        ChunkReader().feed(b"3;" + b"e" * 5000)


def test_a_large_body_in_usual_chunks_passes():
    chunk = b"28\r\n" + b"x" * 40 + b"\r\n"
    assert len(read([chunk * 20_000 + b"0\r\n\r\n"])[0]) == 800_000


def parse(pieces: list[bytes]) -> None:
    parser = RequestParser(32 * 1024)
    for piece in pieces:
        parser.feed(piece)
        parser.next_head()


def test_a_head_beyond_its_bound_is_refused_however_it_comes():
    head = b"GET / HTTP/1.1\r\nHost: h\r\nX-A: " + b"a" * 48_950 + b"\r\n\r\n"
    for size in (1000, 16 * 1024, len(head)):
        pieces = [head[start : start + size] for start in range(0, len(head), size)]
        with pytest.raises(HeaderFieldsTooLarge):
            parse(pieces)
