"""How inputs are drawn: mutations of known good bytes, JSON of every shape, cuts."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

MAX_OPERATIONS = 6
HUGE = "<1e999>"  # a text that ``encode`` writes as a number that no double holds

# Bytes that mean something to a parser somewhere.
COMMON = (
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b"\t", b" ", b":", b",", b";", b"=", b".", b"-",
    b"\x7f", b"\x80", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xef\xbb\xbf", b"\xe2\x80\xa8",
    b"\xc3\xa9", b"%00", b"%2e%2e/", b"0", b"-1", b"1e999", b"99999999999999999999",
)  # fmt: skip
JSON_TOKENS = (
    b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u0000", b"\\ud800", b"\\udc00\\ud800", b"null",
    b"true", b"NaN", b"-Infinity", b"1e999", b"-1e999", b"1.5", b"-0", b"0.1e-400", b"9" * 30,
    b"9" * 401, b'"":', b"{},", b"[[[[", b'{"a":' * 8, b"/**/", b"\\x", b"\\uZZZZ",
)  # fmt: skip


def cuts() -> st.SearchStrategy[list[int]]:
    """Where to cut, as shares of the whole in 1/1000; ``pieces`` cuts."""
    return st.lists(st.integers(0, 1000), max_size=8)


def pieces(data: bytes, shares: Sequence[int]) -> list[bytes]:
    """The data in pieces; [] leaves it whole, a share of 0 in front cuts it into single bytes."""
    if shares and shares[0] == 0:
        return [data[i : i + 1] for i in range(len(data))]
    places = sorted({len(data) * share // 1000 for share in shares})
    ends = zip([0, *places], [*places, len(data)], strict=True)
    return [data[start:end] for start, end in ends if end > start]


@st.composite
def mutated(draw: Any, seeds: Sequence[bytes], tokens: Sequence[bytes] = COMMON) -> bytes:
    """One of the seeds with a few changes; now and then bytes of no origin."""
    data = draw(st.sampled_from(seeds))
    if draw(st.integers(0, 19)) == 0:
        data = draw(st.binary(max_size=200))
    for _ in range(draw(st.integers(0, MAX_OPERATIONS))):
        data = _operate(draw, data, seeds, tokens)
    return data


def _operate(draw: Any, data: bytes, seeds: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    at = draw(st.integers(0, len(data)))
    size = draw(st.integers(0, 24))
    kind = draw(st.integers(0, 7))
    if kind <= 1:
        return data[:at] + draw(st.sampled_from(tokens)) + data[at:]
    if kind == 2:
        return data[:at] + draw(st.sampled_from(tokens)) + data[at + size :]
    if kind == 3:
        return data[:at] + draw(st.binary(min_size=1, max_size=3)) + data[at + 1 :]
    if kind == 4:
        return data[:at] + data[at + size :]
    if kind == 5:
        times = draw(st.sampled_from((2, 3, 9, 150)))
        return data[:at] + data[at : at + size] * times + data[at + size :]
    if kind == 6:
        other = draw(st.sampled_from(seeds))
        return data[:at] + other[draw(st.integers(0, len(other))) :]
    return data[:at]


def texts() -> st.SearchStrategy[str]:
    """Texts, with lone surrogates among them, which JSON can spell."""
    return st.one_of(
        st.text(max_size=8),
        st.text(st.characters(codec=None, exclude_categories=()), max_size=4),
        st.sampled_from(("", "\0", "\ud800", "e\u0301", "\u2028", "true", "1", "x" * 300)),
    )


def numbers() -> st.SearchStrategy[Any]:
    """Numbers at the edges of what parsers keep."""
    edges = (0, -1, 2**31, 2**53, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400)
    floats = st.floats(allow_nan=False, allow_infinity=False)
    return st.one_of(
        st.integers(-9, 9), st.sampled_from(edges), floats, st.sampled_from((0.0, -0.0, 1.0, 1e300))
    )


def values(names: Sequence[str] = (), leaves: Sequence[Any] = ()) -> st.SearchStrategy[Any]:
    """JSON values; objects often have members of these names, and leaves are often these."""
    leaf = st.one_of(st.none(), st.booleans(), numbers(), texts(), st.just(HUGE))
    if leaves:
        leaf = st.one_of(st.sampled_from(leaves), leaf)
    keys = st.one_of(st.sampled_from(names), texts()) if names else texts()
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=5)
        ),
        max_leaves=12,
    )


def encode(value: Any) -> bytes:
    """The value as ASCII JSON; lone surrogates stay escapes."""
    return json.dumps(value).encode("ascii").replace(json.dumps(HUGE).encode("ascii"), b"1e999")
