"""What a connection is doing, and what it means when that takes too long. Pure."""

from collections.abc import Callable
from enum import IntEnum, auto

from mcpd.errors import HandlerTimeout, McpdError, RequestTimeout
from mcpd.http.bounds import Bounds


class Phase(IntEnum):
    """The phases of a connection. Numbers, because they are looked up at every step."""

    IDLE = auto()  # between requests
    HEAD = auto()  # a request's head is arriving
    BODY = auto()  # a request's body is being read
    RUNNING = auto()  # the endpoint works
    WRITING = auto()  # the peer is to read


# phase → those that may follow. A connection may stay in any of them for another deadline.
MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.IDLE: frozenset({Phase.IDLE, Phase.HEAD, Phase.RUNNING, Phase.WRITING}),
    Phase.HEAD: frozenset({Phase.HEAD, Phase.RUNNING, Phase.WRITING}),
    Phase.BODY: frozenset({Phase.BODY, Phase.RUNNING, Phase.IDLE, Phase.WRITING}),
    Phase.RUNNING: frozenset({Phase.RUNNING, Phase.BODY, Phase.WRITING, Phase.IDLE}),
    Phase.WRITING: frozenset({Phase.WRITING, Phase.RUNNING, Phase.BODY, Phase.IDLE}),
}


def _head_late(bounds: Bounds) -> McpdError:
    return RequestTimeout(
        f"The request head did not arrive within {bounds.head_timeout_s:g} s.",
        fix="Send it faster, or raise head_timeout_s.",
    )


def _body_late(bounds: Bounds) -> McpdError:
    return RequestTimeout(
        f"The request body did not arrive within {bounds.body_timeout_s:g} s.",
        fix="Send it faster, or raise body_timeout_s.",
    )


def _answer_late(bounds: Bounds) -> McpdError:
    return HandlerTimeout(
        f"The request was not done within {bounds.request_timeout_s:g} s.",
        fix="Ask for less at once, or raise request_timeout_s.",
    )


# phase → what the peer is told when its deadline passes. Of the others there is nothing to say: an
# idle connection just closes, and a peer that does not read cannot be told.
TIMEOUTS: dict[Phase, Callable[[Bounds], McpdError]] = {
    Phase.HEAD: _head_late,
    Phase.BODY: _body_late,
    Phase.RUNNING: _answer_late,
}
