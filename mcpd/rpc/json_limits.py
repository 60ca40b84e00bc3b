"""Bounds on the shape of a JSON body, checked before it is decoded. Pure.

The decoder is fast but would build whatever it is given, while every other client waits. Each bound
is on what one kind of value costs to decode; together they keep the largest body below a fifth of a
second. Small bodies pass on a few counts; of others the strings are taken out first, since what is
in them costs nothing.
"""

import re

from mcpd.errors import InvalidRequest, ParseError

MAX_DEPTH = 128
MAX_VALUES = 200_000  # of any kind: 150 embeddings of 1,536 numbers would be refused, 100 pass
MAX_CONTAINERS = 50_000  # objects and arrays, which cost most for their two bytes
MAX_DIGITS = 400  # in a row; the largest double has 309
MAX_LARGE_EXPONENTS = 1000  # of three digits and more: 5 bytes that may cost 40 microseconds

# All digits alike, and both letters of an exponent: what is looked for is then a constant, which is
# found faster than a pattern.
_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_LONG_NUMBER = b"0" * (MAX_DIGITS + 1)
_LARGE_EXPONENTS = (b"0e000", b"0e+000", b"0e-000")
_SAMPLE_STEP = MAX_DIGITS // 10
_SAMPLED_DIGITS = re.compile(rb"0{10}")  # a number of MAX_DIGITS shows in every sample
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
    if len(body) > MAX_DIGITS or body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _check_skeleton(_without_strings(body))


def _without_strings(body: bytes) -> bytes:
    """What stands between the strings; an unfinished one ends with the body."""
    if b"\\" in body:  # escaped backslashes first: what is left before a quote escapes it
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    parts = body.split(b'"', 2 * MAX_VALUES + 1)
    if len(parts) > 2 * MAX_VALUES + 1:
        raise InvalidRequest(f"The body has more than {MAX_VALUES} strings.")
    return b"".join(parts[::2])


def _check_skeleton(skeleton: bytes) -> None:
    containers = skeleton.count(b"{") + skeleton.count(b"[")
    if containers > MAX_CONTAINERS:
        raise InvalidRequest(f"The body has more than {MAX_CONTAINERS} objects and arrays.")
    if len(skeleton) > MAX_VALUES and skeleton.count(b",") > MAX_VALUES:
        raise InvalidRequest(f"The body has more than {MAX_VALUES} values.")
    if len(skeleton) > MAX_DIGITS:
        _check_numbers(skeleton)
    if containers > MAX_DEPTH:
        _check_depth(skeleton)


def _check_numbers(skeleton: bytes) -> None:
    alike = skeleton.translate(_ALIKE)
    if _SAMPLED_DIGITS.search(alike[::_SAMPLE_STEP]) and _LONG_NUMBER in alike:
        raise InvalidRequest(f"The body has a number of more than {MAX_DIGITS} digits.")
    if alike.count(b"e") > MAX_LARGE_EXPONENTS:
        large = sum(alike.count(form) for form in _LARGE_EXPONENTS)
        if large > MAX_LARGE_EXPONENTS:
            raise InvalidRequest(
                f"The body has more than {MAX_LARGE_EXPONENTS} numbers with exponents of three"
                " digits."
            )


def _check_depth(skeleton: bytes) -> None:
    depth = 0
    for octet in skeleton.translate(None, _NOT_BRACKETS):
        depth += 1 if octet in _OPENING else -1
        if depth < 0:
            return  # the decoder comes no further
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"The body is nested deeper than {MAX_DEPTH}.")
