"""What a server says instead of an answer, and what the client hears of it."""

import re
from typing import Protocol

import msgspec

from mcpd.bridge.messages import Arrived, Line, read_arrived, with_id
from mcpd.bridge.patience import Undeliverable
from mcpd.bridge.upstream import AWAY, Upstream
from mcpd.rpc.messages import RequestId

# Known words alone: other 400s may speak of sessions too, as may the names of tools (end_session).
_NO_SESSION = re.compile(
    rb"\bno (valid |active |such )?session\b"
    rb"|\b(unknown|invalid|expired|missing|not find)\b[^.]{0,40}\bsession\b"
    rb"|\bsession\b[^.]{0,60}\b(not found|unknown|expired|invalid|missing|over|ended|terminated"
    rb"|closed|no longer|not exist|doesn't exist)\b",
    re.IGNORECASE,
)


class Asked(Protocol):
    """An exchange, as far as refusals go."""

    waiting: dict[bytes, RequestId]

    @property
    def line(self) -> Line: ...
    @property
    def is_initialize(self) -> bool: ...


class Ways(Protocol):
    """What is needed of the bridge."""

    @property
    def upstream(self) -> Upstream: ...
    async def fall_back(self, reason: str) -> bool: ...
    async def emit(self, line: bytes) -> None: ...


def is_gone(status: int, body: bytes) -> bool:
    """Whether the session is over: 404 says so; some servers say 400, with words."""
    return status == 404 or (status == 400 and _NO_SESSION.search(body[:4096]) is not None)


async def refused(ways: Ways, asked: Asked, status: int, body: bytes) -> None:
    """Pass a refusal on, or find another way.

    Raises:
        Undeliverable: it says nothing to the client.
    """
    try:
        arrived = read_arrived(body)
    except msgspec.DecodeError:
        arrived = []
    old = asked.is_initialize and _may_be_old(status, speaks_json_rpc=bool(arrived))
    if old and await ways.fall_back(f"POST: {status}"):
        return
    if not arrived:
        raise _without_json_rpc(ways, asked, status, body)
    for message in arrived:
        await _pass_on(ways, asked, message)
    if asked.waiting:
        raise Undeliverable(f"The server answers {status}, and says nothing of this request.")


async def says_why(ways: Ways, asked: Asked, body: bytes) -> bool:
    """Whether the body of a 200 is an error that names no request; it is passed on then."""
    try:
        arrived = read_arrived(body)
    except msgspec.DecodeError:
        return False
    if len(arrived) != 1 or not arrived[0].is_error or arrived[0].key not in (b"", b"null"):
        return False
    await _pass_on(ways, asked, arrived[0])
    return True


async def _pass_on(ways: Ways, asked: Asked, message: Arrived) -> None:
    if message.key in asked.waiting:
        del asked.waiting[message.key]
        await ways.emit(message.line)
    elif message.is_error:
        unanswered, asked.waiting = list(asked.waiting.values()), {}
        for request_id in unanswered:
            await ways.emit(with_id(message.line, request_id))


def _without_json_rpc(ways: Ways, asked: Asked, status: int, body: bytes) -> Undeliverable:
    said = f"The server answers {status}: {ways.upstream.words(body)}"
    if status in AWAY and not asked.line.repeatable:
        return Undeliverable(
            f"{said}. It is not known whether the call was carried out.",
            fix="See what it has changed before you call again.",
        )
    return Undeliverable(said, fix="Is the URL that of the MCP endpoint?")


def _may_be_old(status: int, *, speaks_json_rpc: bool) -> bool:
    """MCP, "Backwards Compatibility": a server that knows HTTP+SSE alone refuses the POST."""
    return status in (404, 405) or (status == 400 and not speaks_json_rpc)
