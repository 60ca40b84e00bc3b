"""Request heads: bytes in, a checked head or a refusal out. Pure.

h11 parses; this file adds what h11 leaves to its caller or lets through, because it is where
request smuggling lives (RFC 9112, sections 2.2, 3.2, 5.2, 6.1, 6.3).
"""

from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

import h11

from mcpd.errors import (
    BadRequest,
    HeaderFieldsTooLarge,
    NotImplementedHere,
    VersionNotSupported,
)
from mcpd.http.messages import Headers

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"})
# Control characters other than CR, LF and HTAB; CR and LF are counted apart.
_CONTROLS = bytes({*range(32), 127} - {9, 10, 13})
_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length"


@dataclass(frozen=True, slots=True)
class Head:
    """A request head that passed every check."""

    method: str
    path: str
    query: str
    headers: Headers
    host: str | None
    http_10: bool
    wants_close: bool
    expects_continue: bool
    body_length: int | None  # None: chunked
    memory: dict[type, Any] = field(default_factory=dict)  # what later stages made of it


def check_head(raw: bytes, event: h11.Request) -> Head:
    """Check what h11 made of ``raw``, which starts with this request's first byte.

    Raises:
        PeerError: with the status to answer; the connection must close after it.
    """
    _check_octets(raw)
    if event.method not in METHODS:
        raise NotImplementedHere(
            "The request method is not one of HTTP's.",
            received=event.method.decode("latin-1"),
            fix="Methods are case-sensitive: POST, not post (RFC 9110, section 9.1).",
        )
    http_10 = event.http_version == b"1.0"
    if not http_10 and event.http_version != b"1.1":
        raise VersionNotSupported(
            "This server speaks HTTP/1.1 and HTTP/1.0.",
            received=event.http_version.decode("latin-1"),
        )
    headers = Headers(event.headers)
    length = _body_length(headers, http_10)
    host = headers.one(b"host")
    target = event.target
    if target[:1] != b"/":
        target, host = _origin_form(event.method, target, host)
    path, query = _split_target(target)
    return Head(
        method=event.method.decode("ascii"),
        path=path,
        query=query,
        headers=headers,
        host=host,
        http_10=http_10,
        wants_close=_wants_close(headers, http_10),
        expects_continue=_expects_continue(headers, http_10),
        body_length=length,
    )


def refuse_parse(error: h11.RemoteProtocolError) -> NoReturn:
    """Turn h11's verdict into ours.

    Raises:
        PeerError: always.
    """
    if error.error_status_hint == 431:
        raise head_too_large() from error
    if error.error_status_hint == 501:
        raise NotImplementedHere(
            "The only transfer coding spoken here is chunked.",
            fix="Send Content-Length, or Transfer-Encoding: chunked alone.",
        ) from error
    raise BadRequest(
        f"The request is not valid HTTP/1.1: {_plain(error)}.", fix="See RFC 9112."
    ) from error


def head_too_large() -> HeaderFieldsTooLarge:
    """431: the head passes its bound."""
    return HeaderFieldsTooLarge(
        "The request head is larger than this server reads.",
        fix="Send fewer or shorter header fields, or raise max_head_bytes.",
    )


def _plain(error: Exception) -> str:
    """h11's reason without anything that the peer sent."""
    return str(error).split(":", 1)[0].split(" b'", 1)[0].rstrip(".") or "malformed"


def _check_octets(raw: bytes) -> None:
    """Refuse bare CR or LF, control characters, folded lines and repeated lengths."""
    end = raw.find(_END)
    head = raw[: end + 4] if end >= 0 else raw
    newlines = head.count(b"\r\n")
    if end < 0 or head.count(b"\n") != newlines or head.count(b"\r") != newlines:
        raise BadRequest("The request head holds a bare CR or LF.", fix="End lines with CRLF.")
    if len(head.translate(None, _CONTROLS)) != len(head):
        raise BadRequest("The request head holds a control character.", fix="Remove it.")
    if b"\r\n " in head or b"\r\n\t" in head:
        raise BadRequest("A header field is folded over lines.", fix="Send it on one line.")
    if _has_two_lengths(head.lower()):
        raise BadRequest("The request has two lengths.", fix="Send Content-Length once.")


def _has_two_lengths(head: bytes) -> bool:
    """Content-Length twice, or as a list; h11 would merge equal ones."""
    at = head.find(_LENGTH)
    if at < 0:
        return False
    line_end = head.find(b"\r\n", at + 2)
    return b"," in head[at:line_end] or head.find(_LENGTH, line_end) >= 0


def _body_length(headers: Headers, http_10: bool) -> int | None:
    """0 when the request has no body; None when it is chunked (RFC 9112, section 6.3)."""
    if b"transfer-encoding" in headers:
        if b"content-length" in headers:
            raise BadRequest(
                "The request has both Content-Length and Transfer-Encoding.",
                fix="Send one of them (RFC 9112, section 6.3).",
            )
        if http_10:
            raise BadRequest("HTTP/1.0 has no Transfer-Encoding.", fix="Send Content-Length.")
        return None
    length = headers.raw(b"content-length")
    return 0 if length is None else int(length)


def _expects_continue(headers: Headers, http_10: bool) -> bool:
    """RFC 9110, section 10.1.1: 100-continue is the only expectation, and not in HTTP/1.0."""
    return not http_10 and headers.joined(b"expect").lower() == "100-continue"


def _wants_close(headers: Headers, http_10: bool) -> bool:
    if b"connection" not in headers:
        return http_10
    options = {option.strip().lower() for option in headers.joined(b"connection").split(",")}
    return "close" in options or (http_10 and "keep-alive" not in options)


def _origin_form(method: bytes, target: bytes, host: str | None) -> tuple[bytes, str | None]:
    """Reduce absolute-form and asterisk-form targets; the target's host wins over Host."""
    if target == b"*" and method == b"OPTIONS":
        return b"/", host
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https") or not rest:
        raise BadRequest(
            "The request target is neither a path nor an http URL.",
            received=target[:200].decode("latin-1"),
        )
    cut = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    path = rest[cut:]
    return path if path[:1] == b"/" else b"/" + path, rest[:cut].decode("latin-1")


def _split_target(target: bytes) -> tuple[str, str]:
    raw_path, _, query = target.partition(b"?")
    if b"#" in target:
        raise BadRequest("The request target holds a fragment.", fix="Leave the # part out.")
    if b"%" not in raw_path:
        return raw_path.decode("latin-1"), query.decode("latin-1")
    try:
        path = _percent_decode(raw_path)
    except ValueError:
        raise BadRequest(
            "The path is not valid percent-encoded UTF-8.",
            received=raw_path[:200].decode("latin-1"),
        ) from None
    return path, query.decode("latin-1")


def _percent_decode(raw: bytes) -> str:
    """Decode once, strictly.

    Raises:
        ValueError: a bad escape, not UTF-8, or a control character.
    """
    for escape in raw.split(b"%")[1:]:
        int(escape[:2].ljust(2, b"x"), 16)
        if not escape[:2].isalnum():
            raise ValueError
    path = unquote_to_bytes(raw).decode("utf-8")
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise ValueError
    return path
