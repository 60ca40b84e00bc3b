"""JSON-RPC messages as HTTP answers and event-stream events. Pure."""

from dataclasses import dataclass

from mcpd.errors import INTERNAL_ERROR, METHOD_NOT_FOUND, McpdError, UnsupportedMediaType
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
_known: dict[bytes, Accepts] = {}
_MAX_KNOWN = 64


def accepts(headers: Headers) -> Accepts:
    """Read Accept; the few values that occur are remembered."""
    raw = headers.joined(b"accept").encode("latin-1")
    known = _known.get(raw)
    if known is None:
        known = _read_accept(raw.decode("latin-1"))
        if len(_known) < _MAX_KNOWN:
            _known[raw] = known
    return known


def _read_accept(value: str) -> Accepts:
    types = set()
    for part in value.lower().split(","):
        name, _, parameters = part.partition(";")
        if parameters.replace(" ", "") not in ("q=0", "q=0.0"):
            types.add(name.strip())
    if types & {"", "*/*"}:
        return _BOTH
    accepted = Accepts(
        json=bool(types & {"application/json", "application/*"}),
        events=bool(types & {"text/event-stream", "text/*"}),
    )
    return accepted if accepted.json or accepted.events else _BOTH


def check_json(headers: Headers) -> None:
    """The body is to be JSON; a missing Content-Type is read as that.

    Raises:
        UnsupportedMediaType: it says something else.
    """
    value = headers.one(b"content-type")
    if value is not None and value.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType(
            "The body must be JSON.",
            received=value[:100],
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
    if not modern or error.rpc_code == INTERNAL_ERROR:
        return message_response(body, accepted, error.headers)
    status = 404 if error.rpc_code == METHOD_NOT_FOUND else error.status
    return Response(status, body, JSON_HEADERS + error.headers)


def refusal(request_id: RequestId | None, error: McpdError) -> Response:
    """An error about a message that was not accepted at all."""
    return Response(error.status, encode_error(request_id, error), JSON_HEADERS + error.headers)
