"""Answers as bytes: status lines, framing, and errors as JSON. Pure, but for the clock in Date."""

import time
from email.utils import formatdate
from http import HTTPStatus

import msgspec

from mcpd.errors import McpdError
from mcpd.http.messages import JSON_HEADERS, HeaderPairs, Response

NO_BODY_STATUSES = frozenset({204, 304})
_PREFIX_CACHE_ENTRIES = 256

_prefixes: dict[tuple[int, HeaderPairs], bytes] = {}
_date: tuple[int, bytes] = (0, b"")


def response_bytes(response: Response, *, close: bool, head_only: bool, http_10: bool) -> bytes:
    """The whole answer, framed by Content-Length (RFC 9112, section 6.2)."""
    start = _prefix(response.status, response.headers)
    if response.status in NO_BODY_STATUSES:
        return b"%b%b%b\r\n" % (start, _date_line(), _connection_line(close, http_10))
    head = b"%b%bcontent-length: %d\r\n%b\r\n" % (
        start,
        _date_line(),
        len(response.body),
        _connection_line(close, http_10),
    )
    return head if head_only else head + response.body


def stream_head_bytes(headers: HeaderPairs, *, close: bool, http_10: bool) -> bytes:
    """The head of an answer without a known length; chunked, or until close for HTTP/1.0."""
    framing = b"" if http_10 else b"transfer-encoding: chunked\r\n"
    return b"%b%b%b%b\r\n" % (
        _prefix(200, headers),
        _date_line(),
        framing,
        _connection_line(close or http_10, False),
    )


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


def _prefix(status: int, headers: HeaderPairs) -> bytes:
    """Status line and given fields; the same few occur again and again, so they are kept."""
    prefix = _prefixes.get((status, headers))
    if prefix is None:
        prefix = _build_prefix(status, headers)
        if len(_prefixes) >= _PREFIX_CACHE_ENTRIES:
            _prefixes.clear()
        _prefixes[(status, headers)] = prefix
    return prefix


def _build_prefix(status: int, headers: HeaderPairs) -> bytes:
    lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode("ascii"))]
    for name, value in headers:
        if any(octet < 32 and octet != 9 for octet in name + value) or b":" in name:
            raise ValueError(f"header field {name!r} would split the response")
        lines.append(name + b": " + value)
    return b"\r\n".join(lines) + b"\r\n"


def _date_line() -> bytes:
    """RFC 9110, section 6.6.1; made once a second."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = (now, b"date: " + formatdate(now, usegmt=True).encode("ascii") + b"\r\n")
    return _date[1]
