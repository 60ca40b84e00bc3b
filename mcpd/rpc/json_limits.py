"""Bounds on the shape of a JSON body, checked before it is decoded. Pure.

The decoder is fast but would build whatever it is given: a megabyte of brackets, a hundred
thousand members, a number of four thousand digits. Ordinary bodies pass on three counts.
"""

import re

from mcpd.errors import InvalidRequest, ParseError

MAX_DEPTH = 128
MAX_MEMBERS = 100_000
MAX_DIGITS = 400  # in a row; the largest double has 309

# Possessive and with the end of the body as an end, so that it never looks back: linear.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
_DIGITS = b"0123456789"
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENING = frozenset(b"[{")


def check_shape(body: bytes) -> None:
    """Refuse what is too deep, too many, too long, or not UTF-8.

    Raises:
        ParseError: not UTF-8 (RFC 8259, section 8.1).
        InvalidRequest: a bound is passed.
    """
    if not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ParseError(f"The body is not UTF-8 at byte {error.start}.") from error
    if (
        body.count(b"{") + body.count(b"[") > MAX_DEPTH
        or body.count(b":") > MAX_MEMBERS
        or (len(body) > MAX_DIGITS and _has_many_digits(body))
    ):
        _check_skeleton(_STRINGS.sub(b"", body))


def _has_many_digits(body: bytes) -> bool:
    return len(body) - len(body.translate(None, _DIGITS)) > MAX_DIGITS


def _check_skeleton(skeleton: bytes) -> None:
    """The same, on what is left without strings."""
    if skeleton.count(b":") > MAX_MEMBERS:
        raise InvalidRequest(f"The body has more than {MAX_MEMBERS} object members.")
    if _LONG_NUMBER.search(skeleton):
        raise InvalidRequest(f"The body has a number of more than {MAX_DIGITS} digits.")
    depth = 0
    for octet in skeleton.translate(None, _NOT_BRACKETS):
        depth += 1 if octet in _OPENING else -1
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"The body is nested deeper than {MAX_DEPTH}.")
