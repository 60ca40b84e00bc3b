"""Answers to questions: values that fit what was asked, or a refusal, for any JSON."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import trio
from hypothesis import strategies as st
from msgspec import Meta

from mcpd.app.questions import (
    Answer,
    BadAnswer,
    Elicit,
    ElicitUrl,
    ListRoots,
    Question,
    Sample,
    missing_capability,
)
from mcpd.auth.principals import LOCAL_PRINCIPAL
from mcpd.auth.seal import Sealer
from mcpd.auth.secrets import Secret
from mcpd.errors import InvalidParams, PeerError, ToolError
from mcpd.mcp.envelope.params import read_common
from mcpd.mcp.questions import server_requests
from mcpd.mcp.questions.input_required import InputRequired, InputRounds
from mcpd.rpc.messages import Call, RequestId, RpcResponse, decode, encode_call
from tests.fuzz.drawing import encode, mutated, values
from tests.fuzz.json_schema import fits
from tests.fuzz.target import Target


@dataclass
class Form:
    """Of every kind of member that a form may have."""

    name: Annotated[str, Meta(min_length=1, max_length=3)]
    age: int = 7
    ratio: Annotated[float, Meta(ge=0)] = 0.5
    ok: bool = False
    color: Literal["red", "blue"] = "red"
    several: list[Literal["a", "b"]] | None = None


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 3},
        "n": {"type": "integer", "minimum": 1},
        "e": {"type": "string", "enum": ["a", "b"]},
        "several": {"type": "array", "maxItems": 1, "items": {"type": "string", "enum": ["a"]}},
    },
    "required": ["name"],
}
QUESTIONS: list[Question] = [
    Elicit("Who?", Form, key="form"),
    Elicit("Who?", SCHEMA, key="schema"),
    ElicitUrl("Go", "https://a.example", "e1", key="url"),
    Sample(["Hello"], key="sample"),
    ListRoots(key="roots"),
]
NAMES = (
    "action", "content", "name", "age", "ratio", "ok", "color", "several", "n", "e", "role",
    "model", "stopReason", "type", "text", "roots", "uri", "_meta",
)  # fmt: skip
LEAVES = (
    "accept", "decline", "cancel", "user", "assistant", "Ada", "red", "a", "b", 1, 1.0, True,
    {"name": "Ada"}, {"type": "text", "text": "x"}, [{"uri": "file:///a"}], ["a"], {}, [],
    {"name": "Ada", "age": 1.0}, {"name": "A", "several": ["a", "b"]}, {"name": ""}, {"n": 0},
)  # fmt: skip
ANY = values(NAMES, LEAVES)
RESULTS = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), ANY, max_size=5),
    st.builds(lambda content: {"action": "accept", "content": content},
              st.one_of(ANY, st.dictionaries(st.sampled_from(NAMES), ANY, max_size=4))),
    st.builds(lambda role, content: {"role": role, "content": content, "model": "m"},
              st.sampled_from(("user", "assistant", "x")), ANY),
)  # fmt: skip
NUMBER = st.integers(0, len(QUESTIONS) - 1)


def as_sent(value: Any) -> msgspec.Raw | None:
    """The JSON of a value as a message brings it; None: no message can."""
    try:
        call = decode(
            encode_call(Call(RequestId(b"1"), "x", msgspec.Raw(b'{"a":%b}' % encode(value))))
        )
    except PeerError:
        return None
    assert isinstance(call, Call)
    return msgspec.Raw(bytes(call.params)[5:-1])


def check_read(value: tuple[int, Any]) -> None:
    """An answer that fits the schema that was shown, or a refusal."""
    question, result = QUESTIONS[value[0]], value[1]
    raw = as_sent(result)
    if raw is None:
        return
    try:
        given = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return  # numbers that nothing holds: see check_rounds
    try:
        answer = question.read(given)
    except BadAnswer as error:
        assert error.message
        return
    check_answer(question, given, answer)


def check_answer(question: Question, given: Any, answer: Any) -> None:
    """What was accepted is what was asked for."""
    if isinstance(question, Sample):
        assert isinstance(answer.text, str)
    if isinstance(question, Elicit) and isinstance(answer, Answer) and answer.accepted:
        schema, content = question.params["requestedSchema"], given.get("content")
        content = {} if content is None else content
        assert fits(content, schema, schema), "content is accepted that the schema does not have"


def check_declared(value: tuple[int, Any]) -> None:
    """Capabilities of any shape: something is missing or it is not."""
    capability = QUESTIONS[value[0]].capability
    declared = value[1]
    if isinstance(declared, dict):
        assert missing_capability(capability, declared) in (True, False)


# --- both eras --------------------------------------------------------------------------------

SEALER = Sealer("fuzz", (Secret(b"k" * 40),))


def begin(params: Any) -> InputRounds | None:
    """The rounds of a call with these params; None: no message brings them, or they are refused."""
    try:
        call = decode(encode_call(Call(RequestId(b"1"), "tools/call", msgspec.Raw(encode(params)))))
        assert isinstance(call, Call)
        return InputRounds(call, read_common(call.params), LOCAL_PRINCIPAL, SEALER)
    except PeerError:
        return None


def ask(rounds: InputRounds) -> list[Any] | InputRequired | None:
    """The answers to all questions, or those that are still open; None: the call is refused."""
    try:
        return trio.run(rounds.ask, QUESTIONS)
    except InputRequired as required:
        return required
    except InvalidParams:
        return None


def state_of(rounds: InputRounds, required: InputRequired) -> str | None:
    """What travels with the client; None: the call is refused."""
    try:
        return str(rounds.result(required)["requestState"])
    except InvalidParams:
        return None


def check_rounds(value: tuple[dict[str, Any], dict[str, Any], Any]) -> None:
    """Ask, and give the answers of the client with the state, or with anything in its place."""
    params, responses, instead = value
    first = begin(params)
    asked = None if first is None else ask(first)
    assert not isinstance(asked, list), "answers to questions that were not asked"
    if first is None or asked is None:
        return
    state = state_of(first, asked)
    if instead is not None:
        state = instead
    again = begin({**params, "inputResponses": responses, "requestState": state})
    answers = None if again is None else ask(again)
    if isinstance(answers, list):
        for question, answer in zip(QUESTIONS, answers, strict=True):
            check_answer(question, responses[question.key], answer)
    elif again is not None and answers is not None:
        assert state_of(again, answers) is not None


def check_reply(value: Any) -> None:
    """An answer that came by POST: a result, or words for the tool."""
    raw = as_sent(value)
    if raw is None:
        return
    for reply in (
        RpcResponse(RequestId(b'"a"'), raw, None),
        RpcResponse(RequestId(b'"a"'), None, raw),
    ):
        kept = server_requests._Kept(reply.result or msgspec.UNSET, reply.error or msgspec.UNSET)
        try:
            assert isinstance(server_requests._read(msgspec.json.encode(kept)), dict)
        except ToolError:
            continue


KEYS = st.sampled_from([question.key for question in QUESTIONS])
GOOD: dict[str, Any] = {
    "form": {"action": "accept", "content": {"name": "Ada"}},
    "schema": {"action": "accept", "content": {"name": "Ada"}},
    "url": {"action": "decline"},
    "sample": {"role": "assistant", "content": {"type": "text", "text": "x"}, "model": "m"},
    "roots": {"roots": []},
}
RESPONSES = st.dictionaries(KEYS, RESULTS, max_size=3).map(lambda more: GOOD | more)
PARAMS = st.dictionaries(
    st.sampled_from(("name", "arguments", "_meta", "inputResponses", "requestState")),
    ANY,
    max_size=3,
)
STATES = st.one_of(
    st.none(), st.none(), ANY,
    mutated([SEALER.seal(b"{}").encode()]).map(lambda data: data.decode("latin-1")),
)  # fmt: skip
TARGETS = [
    Target("answers", st.tuples(NUMBER, RESULTS), check_read,
           (*((number, GOOD[q.key]) for number, q in enumerate(QUESTIONS)),
            *((1, {"action": "accept", "content": {"name": "a", "several": odd}})
              for odd in ([], ["a"], ["b"], ["a", "a"], "a"))), short=120),
    Target("capabilities", st.tuples(NUMBER, values(("elicitation", "form", "url", "sampling",
           "tools", "roots"), ({}, {"form": {}}))), check_declared, (), short=40),
    Target("rounds", st.tuples(PARAMS, RESPONSES, STATES), check_rounds,
           (({"name": "x", "arguments": {}}, GOOD, None),), short=60),
    Target("replies", ANY, check_reply, ({}, [], "<1e999>"), short=60),
]  # fmt: skip
