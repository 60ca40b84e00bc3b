"""What no server may do, whatever a transcript expects of it. Pure.

A transcript says what one client went on to use. This holds for every answer: its form (JSON-RPC
2.0, sections 4 to 6), what its method owes (the schema of MCP), and that it comes once.
"""

from collections.abc import Iterator
from typing import Any

from mcpd.replay.received import PlayedRequest

_KINDS = {str: "a string", dict: "an object", list: "an array", int: "an integer"}
_ITEMS: dict[str, dict[str, type]] = {
    "tools": {"name": str, "inputSchema": dict},
    "resources": {"uri": str, "name": str},
    "resourceTemplates": {"uriTemplate": str, "name": str},
    "prompts": {"name": str},
    "contents": {"uri": str},
    "messages": {"role": str, "content": dict},
    "content": {"type": str},
}
_RESULTS: dict[str, dict[str, type]] = {
    "initialize": {"protocolVersion": str, "capabilities": dict, "serverInfo": dict},
    "server/discover": {"supportedVersions": list, "capabilities": dict},
    "tools/list": {"tools": list},
    "tools/call": {"content": list},
    "resources/list": {"resources": list},
    "resources/templates/list": {"resourceTemplates": list},
    "resources/read": {"contents": list},
    "prompts/list": {"prompts": list},
    "prompts/get": {"messages": list},
    "completion/complete": {"completion": dict},
}
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
            yield from _form(message)
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


def _form(message: dict[str, Any]) -> Iterator[str]:
    said = [name for name in ("method", "result", "error") if name in message]
    if message.get("jsonrpc") != "2.0":
        yield 'a message without "jsonrpc": "2.0"'
    if len(said) != 1:
        yield f"a message with {' and '.join(said) or 'no method, result or error'}"
    if "error" in said:
        error = message["error"]
        if not isinstance(error, dict):
            yield "error is no object"
        else:
            yield from _members(error, {"code": int, "message": str}, "error")


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
    call, result = asked.get(_key(message.get("id"))), message.get("result")
    if call is None or "result" not in message:
        return
    if not isinstance(result, dict):
        yield "result is no object"
        return
    if result.get("resultType", "complete") != "complete" or "task" in result:
        return  # not the result yet
    yield from _members(result, _RESULTS.get(call["method"], {}), "result")
    for name, members in _ITEMS.items():
        items = result.get(name)
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                yield from _members(item, members, f"result.{name}[]")
            else:
                yield f"result.{name}[] is no object"


def _members(found: dict[str, Any], wanted: dict[str, type], where: str) -> Iterator[str]:
    for name, kind in wanted.items():
        if name not in found:
            yield f"{where}.{name} is missing"
        elif not isinstance(found[name], kind) or (kind is int and found[name] is True):
            yield f"{where}.{name} is not {_KINDS[kind]}"
