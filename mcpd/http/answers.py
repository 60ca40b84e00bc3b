"""Answers as bytes: status lines, framing, and errors as JSON. Pure, but for the clock in Date."""

import time
from email.utils import formatdate
from http import HTTPStatus

import msgspec

from mcpd.errors import McpdError
from mcpd.http.messages import JSON_HEADERS, HeaderPairs, Response

NO_BODY_STATUSES = frozenset({204, 304})
KNOWN_STARTS = 256

_starts: dict[tuple[int, HeaderPairs], bytes] = {}  # of this second
_second = 0


def response_bytes(response: Response, *, close: bool, head_only: bool, http_10: bool) -> bytes:
    """The whole answer, framed by Content-Length (RFC 9112, section 6.2)."""
    start, body = _start(response.status, response.headers), response.body
    if response.status in NO_BODY_STATUSES:
        return b"%b%b\r\n" % (start, _connection_line(close, http_10))
    if close or http_10 or head_only:
        line = _connection_line(close, http_10)
        head = b"%bcontent-length: %d\r\n%b\r\n" % (start, len(body), line)
        return head if head_only else head + body
    return b"%bcontent-length: %d\r\n\r\n%b" % (start, len(body), body)


def stream_head_bytes(headers: HeaderPairs, *, close: bool, http_10: bool) -> bytes:
    """The head of an answer without a known length; chunked, or until close for HTTP/1.0."""
    framing = b"" if http_10 else b"transfer-encoding: chunked\r\n"
    start = _start(200, headers)
    return b"%b%b%b\r\n" % (start, framing, _connection_line(close or http_10, False))


def chunk(data: bytes, *, http_10: bool) -> bytes:
    """One chunk (RFC 9112, section 7.1); as it is for HTTP/1.0."""
    return data if http_10 else b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def error_response(error: McpdError) -> Response:
    """An error as HTTP with a JSON body that says what, why and what next.

    The members ``error`` and ``error_description`` are those of OAuth (RFC 6750, RFC 7591), so
    that clients which probe for it can read them.
    """
    body: dict[str, object] = {"error": error.slug, "error_description": error.message}
    if error.received is not None:
        body["received"] = error.received
    if error.fix:
        body["fix"] = error.fix
    body.update(error.data)
    return json_response(body, status=error.status, headers=error.headers)


def json_response(body: object, *, status: int = 200, headers: HeaderPairs = ()) -> Response:
    """Encode ``body`` as the JSON answer."""
    return Response(status, msgspec.json.encode(body), JSON_HEADERS + headers)


def _connection_line(close: bool, http_10: bool) -> bytes:
    if close:
        return b"connection: close\r\n"
    return b"connection: keep-alive\r\n" if http_10 else b""


def _start(status: int, headers: HeaderPairs) -> bytes:
    """Status line, given fields and Date; the same few occur again and again."""
    global _second
    now = int(time.time())
    if now != _second:
        _starts.clear()
        _second = now
    start = _starts.get((status, headers))
    if start is None:
        if len(_starts) >= KNOWN_STARTS:
            _starts.clear()
        date = b"date: %b\r\n" % formatdate(now, usegmt=True).encode("ascii")  # RFC 9110, 6.6.1
        start = _starts[(status, headers)] = _build_prefix(status, headers) + date
    return start


def _build_prefix(status: int, headers: HeaderPairs) -> bytes:
    lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode("ascii"))]
    for name, value in headers:
        if any(octet < 32 and octet != 9 for octet in name + value) or b":" in name:
            raise ValueError(f"header field {name!r} would split the response")
        lines.append(name + b": " + value)
    return b"\r\n".join(lines) + b"\r\n"
