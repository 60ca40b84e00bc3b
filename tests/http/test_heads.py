"""Request heads that are refused, and what the others become."""

import pytest

from mcpd.errors import PeerError
from mcpd.http.heads import Head
from mcpd.http.parser import RequestParser

OK = b"POST /mcp/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"


def read(data: bytes, *, max_head_bytes: int = 4096, step: int | None = None) -> Head | None:
    parser = RequestParser(max_head_bytes)
    for start in range(0, len(data), step or len(data)):
        parser.feed(data[start : start + (step or len(data))])
        head = parser.next_head()
        if head is not None:
            return head
    return None


REFUSED = [
    ("two lengths that differ", b"Content-Length: 2\r\nContent-Length: 3\r\n", 400),
    ("two lengths that agree", b"Content-Length: 2\r\nContent-Length: 2\r\n", 400),
    ("a list of lengths", b"Content-Length: 2, 2\r\n", 400),
    ("a negative length", b"Content-Length: -2\r\n", 400),
    ("length and chunks", b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", 400),
    ("an unknown coding", b"Transfer-Encoding: gzip\r\n", 501),
    ("a coding before chunked", b"Transfer-Encoding: gzip, chunked\r\n", 501),
    ("two hosts", b"Host: example.com\r\n", 400),
    ("a control character in a value", b"X: a\x01b\r\n", 400),
    ("a NUL", b"X: a\x00b\r\n", 400),
    ("a DEL", b"X: a\x7fb\r\n", 400),
    ("a bare LF", b"X: a\nY: b\r\n", 400),
    ("a bare CR", b"X: a\rY: b\r\n", 400),
    ("a folded line", b"X: a\r\n b\r\n", 400),
    ("a space before the colon", b"X : a\r\n", 400),
    ("no colon", b"X\r\n", 400),
]


@pytest.mark.parametrize(("what", "lines", "status"), REFUSED, ids=[r[0] for r in REFUSED])
@pytest.mark.parametrize("step", [None, 1, 7])
def test_what_smuggling_needs_is_refused(what, lines, status, step):
    """RFC 9112, sections 2.2, 5, 6.3"""
    with pytest.raises(PeerError) as caught:
        read(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n", step=step)
    assert caught.value.status == status


START_LINES = [
    (b"post / HTTP/1.1", 501),
    (b"BREW / HTTP/1.1", 501),
    (b"CONNECT / HTTP/1.1", 501),
    (b"GET / HTTP/2.0", 505),
    (b"GET / HTTP/1.2", 505),
    (b"GET / HTTP/0.9", 505),
    (b"GET  / HTTP/1.1", 400),
    (b"GET /", 400),
    (b"GET /#part HTTP/1.1", 400),
    (b"GET ftp://localhost/ HTTP/1.1", 400),
    (b"GET localhost HTTP/1.1", 400),
    (b"GET /%zz HTTP/1.1", 400),
    (b"GET /%f HTTP/1.1", 400),
    (b"GET /%+1 HTTP/1.1", 400),
    (b"GET /%ff HTTP/1.1", 400),
    (b"GET /%00 HTTP/1.1", 400),
    (b"GET * HTTP/1.1", 400),
]


@pytest.mark.parametrize(("line", "status"), START_LINES)
def test_start_lines_that_are_not_served(line, status):
    with pytest.raises(PeerError) as caught:
        read(line + b"\r\nHost: localhost\r\n\r\n")
    assert caught.value.status == status


def test_missing_host_is_refused_in_http_1_1_and_allowed_in_1_0():
    """RFC 9112, section 3.2"""
    with pytest.raises(PeerError) as caught:
        read(b"GET / HTTP/1.1\r\n\r\n")
    assert caught.value.status == 400
    head = read(b"GET / HTTP/1.0\r\n\r\n")
    assert head is not None
    assert (head.host, head.wants_close) == (None, True)


def test_transfer_encoding_in_http_1_0_is_refused():
    with pytest.raises(PeerError):
        read(b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")


TARGETS = [
    (b"/mcp/", "/mcp/", "", "localhost"),
    (b"/a%20b?x=%20", "/a b", "x=%20", "localhost"),
    (b"/%252e", "/%2e", "", "localhost"),  # decoded once
    (b"/caf%C3%A9", "/café", "", "localhost"),
    (b"http://other:80/x?y", "/x", "y", "other:80"),  # RFC 9112, 3.2.2: the target wins
    (b"HTTP://other", "/", "", "other"),
    (b"http://other?y", "/", "y", "other"),
]


@pytest.mark.parametrize(("target", "path", "query", "host"), TARGETS)
def test_targets_are_reduced_to_a_path(target, path, query, host):
    head = read(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert head is not None
    assert (head.path, head.query, head.host) == (path, query, host)


def test_asterisk_form_is_for_options():
    head = read(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert head is not None
    assert head.path == "/"


@pytest.mark.parametrize("step", [None, 1, 100])
def test_a_head_beyond_the_bound_is_431(step):
    data = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 5000
    with pytest.raises(PeerError) as caught:
        read(data, max_head_bytes=1000, step=step)
    assert caught.value.status == 431


CLOSES = [
    (b"1.1", b"", False),
    (b"1.1", b"Connection: close\r\n", True),
    (b"1.1", b"Connection: foo, Close\r\n", True),
    (b"1.0", b"", True),
    (b"1.0", b"Connection: keep-alive\r\n", False),
]


@pytest.mark.parametrize(("version", "line", "closes"), CLOSES)
def test_who_wants_to_close(version, line, closes):
    """RFC 9112, section 9.3"""
    head = read(b"GET / HTTP/" + version + b"\r\nHost: a\r\n" + line + b"\r\n")
    assert head is not None
    assert head.wants_close is closes


def test_leading_empty_lines_are_skipped():
    """RFC 9112, section 2.2"""
    head = read(b"\r\n\r\n" + OK)
    assert head is not None
    assert head.path == "/mcp/"
