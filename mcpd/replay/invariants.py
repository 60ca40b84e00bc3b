"""What no server may do, whatever a transcript expects of it. Pure.

A transcript says what one client went on to use. This holds for every answer: what a message owes
(``client/message_rules.py``), and that it comes once and where it was asked for.
"""

from collections.abc import Iterator
from typing import Any

from mcpd.client.message_rules import form_faults, result_faults
from mcpd.replay.received import PlayedRequest

_MESSAGES = ("application/json", "text/event-stream")


def faults(exchange: PlayedRequest) -> Iterator[str]:
    """What is wrong with what came of a request; its stream may still be open."""
    asked = _calls(exchange.sent)
    kind = exchange.fields.get("content-type", "").partition(";")[0].strip().lower()
    if exchange.status == 200 and asked and kind not in _MESSAGES:
        yield f"content-type is {kind or 'missing'}, not {' or '.join(_MESSAGES)}"
    speaks = exchange.status == 200 and (asked or kind == _MESSAGES[1])
    if exchange.garbage:
        yield "an event holds no JSON"
    answered: set[str] = set()
    for message in exchange.seen:
        if isinstance(message, dict) and speaks:
            yield from (fault.text for fault in form_faults(message))
            yield from _place(message, asked, answered)
            yield from _result(message, asked)


def _calls(sent: Any) -> dict[str, dict[str, Any]]:
    """The requests in a body, by their ids."""
    messages = sent if isinstance(sent, list) else [sent]
    return {
        _key(message["id"]): message
        for message in messages
        if isinstance(message, dict) and "method" in message and "id" in message
    }


def _key(request_id: Any) -> str:
    return f"{type(request_id).__name__} {request_id}"


def _place(message: dict[str, Any], asked: dict[str, Any], answered: set[str]) -> Iterator[str]:
    """Whether it comes where it may: answers to what was asked, once, and nothing behind them."""
    if "method" not in message:
        key = _key(message.get("id"))
        if asked and key not in asked and message.get("id") is not None:
            yield f"an answer to {message.get('id')!r}, which was not asked here"
        if key in answered:
            yield f"{message.get('id')!r} is answered twice"
        answered.add(key)
    elif message["method"] == "notifications/progress":
        params = message.get("params")
        token = params.get("progressToken") if isinstance(params, dict) else None
        if any(token is not None and _token(asked[key]) == token for key in answered & set(asked)):
            yield "progress after the answer"


def _token(call: dict[str, Any]) -> Any:
    params = call.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return meta.get("progressToken") if isinstance(meta, dict) else None


def _result(message: dict[str, Any], asked: dict[str, Any]) -> Iterator[str]:
    call = asked.get(_key(message.get("id")))
    if call is not None and "result" in message:
        yield from (fault.text for fault in result_faults(call["method"], message["result"]))
