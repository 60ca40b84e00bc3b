"""Bytes to messages, however they are cut."""

import random

import pytest

from mcpd.errors import PeerError
from mcpd.http.parser import RequestParser

TWO = (
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    b"POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nfoo\r\n4;x=y\r\nbars\r\n0\r\nTrailer: t\r\n\r\n"
    b"GET /c HTTP/1.1\r\nHost: h\r\n\r\n"
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nworld"
)
EXPECTED = [("/a", b"hello"), ("/b", b"foobars"), ("/c", b""), ("/a", b"world")]


def parse(pieces: list[bytes]) -> list[tuple[str, bytes]]:
    parser, found, head, body = RequestParser(4096), [], None, b""
    for piece in pieces:
        parser.feed(piece)
        while True:
            if head is None:
                head = parser.next_head()
                if head is None:
                    break
            data = parser.next_body()
            if data is None:
                break
            body += data
            if not data and parser.body_complete:
                found.append((head.path, body))
                head, body = None, b""
    return found


def test_whole_and_byte_by_byte():
    assert parse([TWO]) == EXPECTED
    assert parse([TWO[i : i + 1] for i in range(len(TWO))]) == EXPECTED


def test_random_cuts_give_the_same_messages():
    rng = random.Random(7)
    for _ in range(400):
        cuts = sorted(rng.sample(range(1, len(TWO)), rng.randint(1, 12)))
        pieces = [TWO[a:b] for a, b in zip([0, *cuts], [*cuts, len(TWO)], strict=True)]
        assert parse(pieces) == EXPECTED


BAD_CHUNKS = [b"x\r\n", b"-1\r\n", b"0x3\r\nfoo\r\n", b"3\r\nfooXX", b"3 \x00\r\nfoo\r\n",
              b"ffffffffffffffffffffffff\r\n"]  # fmt: skip


@pytest.mark.parametrize("chunk", BAD_CHUNKS)
def test_bad_chunks_are_refused_and_lose_the_framing(chunk):
    """RFC 9112, section 7.1"""
    parser = RequestParser(4096)
    parser.feed(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
    assert parser.next_head() is not None
    with pytest.raises(PeerError):  # noqa: PT012
        while parser.next_body() is not None:
            pass
    assert parser.framing_lost


def test_garbage_parses_or_is_the_peers_error():
    rng = random.Random(11)
    for _ in range(500):
        data = bytearray(TWO)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            parse([bytes(data)])
        except PeerError:
            continue


def test_a_known_head_is_looked_up_and_an_altered_one_is_not():
    parser = RequestParser(4096)
    raw = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
    parser.feed(raw + raw)
    first, second = parser.next_head(), parser.next_head()
    assert first is second
    parser.feed(b"GET /x HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n")
    with pytest.raises(PeerError):
        parser.next_head()


def test_known_heads_are_bounded():
    parser = RequestParser(1 << 16)
    for number in range(50):
        parser.feed(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number)
        assert parser.next_head() is not None
    assert len(parser._known) <= 8
    parser.feed(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 3000 + b"\r\n\r\n")
    assert parser.next_head() is not None
    assert all(len(raw) <= 2048 for raw in parser._known)
