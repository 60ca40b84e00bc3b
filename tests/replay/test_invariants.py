"""What no server may do, whatever a transcript expects."""

import pytest

from mcpd.replay.invariants import faults
from mcpd.replay.received import PlayedRequest

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "x", "_meta": {"progressToken": "p"}}}  # fmt: skip
TEXT = {"content": [{"type": "text", "text": "x"}]}


def ask(method, **params):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def answer(result=None, **members):
    return {"jsonrpc": "2.0", "id": 1, "result": TEXT if result is None else result, **members}


def error(**members):
    return {"jsonrpc": "2.0", "id": 1, "error": {"code": -1, "message": "no", **members}}


def progress(token="p"):
    params = {"progressToken": token, "progress": 1}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def found(sent, *messages, kind="text/event-stream", status=200, garbage=0):
    exchange = PlayedRequest(sent, status, {"content-type": kind}, list(messages), garbage)
    return list(faults(exchange))


@pytest.mark.parametrize(
    ("sent", "messages", "told"),
    [
        (CALL, [answer(error={"code": 1, "message": ""})], "result and error"),
        (CALL, [{"jsonrpc": "2.0", "id": 1}], "no method, result or error"),
        (CALL, [{"id": 1, "result": TEXT}], '"jsonrpc": "2.0"'),
        (CALL, [answer(), answer()], "1 is answered twice"),
        (CALL, [answer(), progress()], "progress after the answer"),
        (CALL, [{**answer(), "id": 2}], "2, which was not asked"),
        (CALL, [{**answer(), "id": "1"}], "'1', which was not asked"),
        (CALL, [{**error(), "error": {"code": -1}}], "error.message is missing"),
        (CALL, [error(code="x")], "error.code is not an integer"),
        (CALL, [{**error(), "error": "no"}], "error is no object"),
        (CALL, [answer([])], "result is no object"),
        (CALL, [answer({})], "result.content is missing"),
        (CALL, [answer({"content": [{}]})], "result.content[].type is missing"),
        (CALL, [answer({"content": ["x"]})], "result.content[] is no object"),
        (ask("tools/list"), [answer({"tools": [{"name": "x"}]})], "inputSchema is missing"),
        (ask("initialize"), [answer({"protocolVersion": "x", "capabilities": {}})], "serverInfo"),
        (ask("resources/read"), [answer({"contents": [{"text": ""}]})], "uri is missing"),
        (ask("prompts/get"), [answer({"messages": {}})], "result.messages is not an array"),
    ],
)
def test_these_answers_break_the_specification(sent, messages, told):
    (fault,) = found(sent, *messages)
    assert told in fault


@pytest.mark.parametrize(
    ("sent", "messages"),
    [
        (CALL, [progress(), answer()]),
        (CALL, [answer(), progress("of another")]),
        (CALL, [{"jsonrpc": "2.0", "id": 9, "method": "ping"}, answer()]),
        (CALL, [answer({"resultType": "input_required", "inputRequests": {}})]),
        (CALL, [answer({"task": {"taskId": "t"}})]),
        (CALL, [{**error(), "id": None}]),
        ([CALL, {**CALL, "id": 2}], [answer(), {**answer(), "id": 2}]),
        (None, [answer(), {**answer(), "id": 2}]),  # a stream that was resumed
    ],
)
def test_these_differences_count(sent, messages):
    assert found(sent, *messages) == []


def test_what_messages_come_in():
    assert "content-type is text/plain" in found(CALL, answer(), kind="text/plain")[0]
    assert "content-type is missing" in found(CALL, answer(), kind="")[0]
    assert found(CALL, answer(), kind="Text/Event-Stream; charset=utf-8") == []
    assert found(None, {"issuer": "x"}, kind="application/json") == []
    assert found(CALL, {**error(), "id": "server-error"}, status=404) == []  # its status counts
    assert found(None, {"error": "not_found"}, status=404) == []  # no JSON-RPC, and need not be
    assert found(CALL, kind="text/event-stream", garbage=1) == ["an event holds no JSON"]
