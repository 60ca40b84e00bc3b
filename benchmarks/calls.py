"""The exchanges of the scenarios: which requests, and what makes an answer right."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.client import Headers, message, modern_headers, post_bytes
from benchmarks.contestants import Contestant
from benchmarks.load import Exchange

VARIANTS = 64  # bodies of several lengths, so that heads differ; ids that no two in flight share
STEPS = 10  # of the tool ``count``
MIB = 1024 * 1024

# Exchanges for one connection; header fields of its session, or None in 2026-07-28.
MakeExchanges = Callable[[Contestant, Headers | None], list[Exchange]]


def one(
    contestant: Contestant,
    session: Headers | None,
    method: str,
    params: Mapping[str, Any],
    *,
    number: int,
    **expected: Any,
) -> Exchange:
    """One exchange. Answers of floors are canned: only their size can be checked."""
    given = session or modern_headers(contestant, method, params.get("name", ""))
    body = message(number, method, params, modern=session is None)
    request = post_bytes(contestant, body, given)
    if contestant.is_floor:
        least = expected.get("least_bytes", 0)
        return Exchange(request, counted=expected.get("counted", b""),
                        count=expected.get("count", 0), least_bytes=least)  # fmt: skip
    return Exchange(request, **expected)


def sums(contestant: Contestant, session: Headers | None) -> list[Exchange]:
    """tools/call of ``add``."""
    return _additions(contestant, session, "add", {})


def counted_sums(contestant: Contestant, session: Headers | None) -> list[Exchange]:
    """tools/call of ``count``: ten progress messages, then the result."""
    expected = {"counted": b"notifications/progress", "count": STEPS}
    return _additions(contestant, session, "count", expected)


def _additions(
    contestant: Contestant, session: Headers | None, tool: str, expected: Mapping[str, Any]
) -> list[Exchange]:
    made = []
    for number in range(VARIANTS):
        a, b = number * 37 % 1000, 10 ** (number % 4)
        params: dict[str, Any] = {"name": tool, "arguments": {"a": a, "b": b}}
        if expected:
            params["_meta"] = {"progressToken": number + 1}
        holds = (b'"id":%d' % (number + 1), b'"text":"%d"' % (a + b))
        made.append(
            one(contestant, session, "tools/call", params, number=number + 1, holds=holds,
                **expected)
        )  # fmt: skip
    if contestant.name == "Trio floor":  # it counts bytes: all of one length
        return [each for each in made if len(each.request) == len(made[-1].request)]
    return made


def big_argument(contestant: Contestant, session: Headers | None) -> list[Exchange]:
    """tools/call with an argument of 1 MiB."""
    params = {"name": "measure", "arguments": {"text": "x" * MIB}}
    holds = (b'"id":1', b'"text":"%d"' % MIB)
    return [one(contestant, session, "tools/call", params, number=1, holds=holds)]


def big_result(contestant: Contestant, session: Headers | None) -> list[Exchange]:
    """tools/call with a result of 1 MiB."""
    params: dict[str, Any] = {"name": "produce", "arguments": {}}
    holds = (b'"id":1', b'xxxx"}')
    return [one(contestant, session, "tools/call", params, number=1, holds=holds, least_bytes=MIB)]


def tools_list(contestant: Contestant, session: Headers | None) -> list[Exchange]:
    """tools/list of 200 tools."""
    expected = {"counted": b'"name":"tool_', "count": 200, "holds": (b'"id":1',)}
    return [one(contestant, session, "tools/list", {}, number=1, **expected)]
