"""JSON-RPC messages as HTTP answers and event-stream events. Pure."""

import functools
import re
from dataclasses import dataclass

from mcpd.errors import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    InsufficientScope,
    McpdError,
    NotAcceptable,
    TooManyRequests,
    UnsupportedMediaType,
)
from mcpd.http import sse
from mcpd.http.messages import JSON_HEADERS, HeaderPairs, Headers, Response
from mcpd.mcp.dispatch import Outcome
from mcpd.rpc.messages import RequestId, encode_error

ACCEPTED = Response(202)
CANCELLED = Response(200, headers=sse.STREAM_HEADERS)
"""A cancelled request is not answered; an event stream that ends says just that."""


@dataclass(frozen=True, slots=True)
class Accepts:
    """What the client can read. Nothing recognisable counts as everything: clients of the
    handshake era get this header wrong in every way there is.
    """

    json: bool
    events: bool


_BOTH = Accepts(json=True, events=True)
_TYPE = re.compile(r"(?:\*|[a-z0-9!#$&^_.+-]+)/(?:\*|[a-z0-9!#$&^_.+-]+)")  # RFC 6838, section 4.2


@functools.lru_cache(maxsize=64)
def read_accept(value: str) -> Accepts:
    """Read the value of Accept (RFC 9110, section 12.5.1)."""
    types: set[str] = set()
    refused: set[str] = set()
    for part in value.lower().split(","):
        name, _, parameters = part.partition(";")
        weight = parameters.replace(" ", "")
        (refused if weight in ("q=0", "q=0.0") else types).add(name.strip())
    accepted = Accepts(
        json=_accepts(types, refused, "application", "json"),
        events=_accepts(types, refused, "text", "event-stream"),
    )
    understood = accepted.json or accepted.events or any(_TYPE.fullmatch(name) for name in types)
    return accepted if understood else _BOTH


def _accepts(types: set[str], refused: set[str], kind: str, subtype: str) -> bool:
    exact = f"{kind}/{subtype}"
    if exact in refused:
        return False
    return bool(types & {exact, f"{kind}/*", "*/*"})


def check_accept(accepted: Accepts) -> None:
    """A client must be able to read an answer (MCP, streamable-http, "Sending Messages").

    Raises:
        NotAcceptable: it reads neither kind.
    """
    if not (accepted.json or accepted.events):
        raise NotAcceptable(
            "Answers are JSON or event streams, and Accept names neither.",
            fix="Send Accept: application/json, text/event-stream.",
        )


def is_json(headers: Headers) -> bool:
    """Whether a body is JSON as it is, by what the head says of it (RFC 9110, section 8)."""
    value = headers.one(b"content-type")
    kind, _, parameters = ("" if value is None else value).lower().partition(";")
    charset = _CHARSET.search(parameters)
    coding = headers.joined(b"content-encoding").strip().lower()
    plain = kind.strip() == "application/json" and coding in ("", "identity")
    return plain and (charset is None or charset[1] in ("utf-8", "utf8", "us-ascii"))


_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s\";]*)")


def check_json(headers: Headers) -> None:
    """The body is to be JSON in UTF-8, not compressed (RFC 8259, section 8.1).

    Raises:
        UnsupportedMediaType: it is something else, or does not say what.
    """
    if is_json(headers):
        return
    coding = headers.joined(b"content-encoding").strip()
    if coding.lower() not in ("", "identity"):
        raise UnsupportedMediaType(
            "The body must not be compressed.",
            received=coding[:100],
            fix="Send it without Content-Encoding.",
            headers=((b"accept-encoding", b"identity"),),
        )
    raise UnsupportedMediaType(
        "The body must be JSON in UTF-8.",
        received=(headers.one(b"content-type") or "")[:100],
        fix="Send Content-Type: application/json.",
    )


def message_response(body: bytes, accepted: Accepts, headers: HeaderPairs = ()) -> Response:
    """A whole answer: JSON, or one event for a client that reads nothing else."""
    if accepted.json:
        return Response(200, body, JSON_HEADERS + headers if headers else JSON_HEADERS)
    return Response(200, sse.event(body), sse.STREAM_HEADERS + headers)


def outcome_response(outcome: Outcome, accepted: Accepts, *, modern: bool) -> Response:
    """What came of a readable request.

    In the handshake era an error is an ordinary answer: any other status means something else
    there, 404 even the end of the session. In the modern era the status tells the class of the
    error (2026-07-28, streamable-http), and -32603 alone stays an ordinary answer.
    """
    body, error = outcome.response, outcome.error
    if body is None:
        return CANCELLED
    if error is None:
        return message_response(body, accepted)
    if error.status >= 500 and error.rpc_code == INTERNAL_ERROR and error.status != 500:
        return Response(error.status, body, JSON_HEADERS + error.headers)
    if isinstance(error, _HTTP_WHATEVER_THE_REVISION):
        return Response(error.status, body, JSON_HEADERS + error.headers)
    if not modern or error.rpc_code == INTERNAL_ERROR:
        return message_response(body, accepted, error.headers)
    status = 404 if error.rpc_code == METHOD_NOT_FOUND else error.status
    return Response(status, body, JSON_HEADERS + error.headers)


# RFC 6750, section 3.1, and RFC 6585, section 4: what every HTTP client and gateway understands.
_HTTP_WHATEVER_THE_REVISION = (InsufficientScope, TooManyRequests)


def refusal(request_id: RequestId | None, error: McpdError) -> Response:
    """An error about a message that was not accepted at all."""
    return Response(error.status, encode_error(request_id, error), JSON_HEADERS + error.headers)
