"""Bodies: a message or a refusal, and what was read can be written and read again."""

import json
import re
from typing import Any

import msgspec
from hypothesis import strategies as st

from mcpd.errors import InvalidRequest, McpdError, ParseError
from mcpd.rpc import json_limits
from mcpd.rpc.messages import (
    Call,
    Message,
    Notification,
    RpcResponse,
    decode,
    decode_batch,
    encode_batch,
    encode_call,
    encode_error,
    encode_result,
    is_batch,
    readable_id,
)
from tests.fuzz.drawing import COMMON, JSON_TOKENS, encode, mutated, numbers, texts, values
from tests.fuzz.target import Target, corpus

MAX_BATCH = 5
SEEDS = corpus("rpc")
TOKENS = (
    *COMMON, *JSON_TOKENS, b'"id":', b'"id":null,', b'"id":1.0,', b'"id":{},', b'"jsonrpc":"2.0",',
    b'"method":"a",', b'"params":[],', b'"result":null,', b'"error":null,', b'"x":' + b"[" * 130,
    b'"id":"' + b"y" * 1030 + b'",',
    b"1e999," * 1001, b"[]," * 300, b"9" * 10 + b".", b"9" * 380, b"1E-999,",
)  # fmt: skip
MEMBERS = ("jsonrpc", "id", "method", "params", "result", "error")
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.one_of(st.sampled_from(["2.0"] * 9), values()),
        "id": st.one_of(numbers(), texts(), values()),
        "method": st.one_of(st.sampled_from(("a", "ping")), texts(), values()),
        "params": values(),
        "result": values(),
        "error": values(),
    },
).map(encode)
ODD_IDS = (b"[]", b"{}", b"null", b"true", b"1.0", b"1.5", b"-0", b"1e2", b"1e999", b'"\\n"')
BODIES = st.one_of(mutated(SEEDS, TOKENS), MESSAGES)
DIGITS = re.compile(rb"[0-9]{%d}" % (json_limits.MAX_DIGITS + 1))
EXPONENT = re.compile(rb"[eE][+-]?[0-9]{3}")
STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def readable(body: bytes) -> Any:
    """What the standard library reads; it must be JSON by the letter.

    Raises:
        ValueError: it is none.
    """

    def refuse(name: str) -> Any:
        raise ValueError(name)

    return json.loads(
        bytes(body).decode("utf-8"), parse_constant=refuse, parse_float=str, parse_int=str
    )


def decode_or_refuse(body: bytes) -> Message | McpdError:
    """A message or the error of the family."""
    try:
        return decode(body)
    except (ParseError, InvalidRequest) as error:
        return error


def again(message: Message) -> bytes:
    """A message as bytes."""
    if isinstance(message, Call):
        return encode_call(message)
    if isinstance(message, Notification):
        method = msgspec.json.encode(message.method)
        return b'{"jsonrpc":"2.0","method":%b,"params":%b}' % (method, message.params)
    if message.result is not None:
        return encode_result(message.id, message.result)
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (message.id, message.error)


def check_message(body: bytes) -> None:
    """Read, checked against the standard library, written, read again."""
    message = decode_or_refuse(body)
    if isinstance(message, McpdError):
        answer = encode_error(readable_id(body), message)
        assert is_json(answer), "the refusal is no JSON"
        return
    assert is_json(body), "a body is taken that is no JSON"
    given = readable(body)
    assert decode(again(message)) == message, "it is not the same when it is written and read"
    if not isinstance(message, RpcResponse):
        assert message.method == given["method"]
        assert readable(message.params) == given.get("params", {})
    if not isinstance(message, Notification):
        assert message.id.strip() == message.id
        assert isinstance(given["id"], str)
        assert readable_id(body) == message.id
        check_id(message.id)


def check_id(raw: bytes) -> None:
    """An id goes into answers, to other processes, and into logs: it must be text that is safe."""
    assert is_json(encode_result(raw, b"{}")), "an answer with this id is no JSON"
    assert b"\n" not in raw, "an id over several lines"
    assert b"\r" not in raw, "an id over several lines"


def is_json(body: bytes) -> bool:
    """Whether it is JSON by the letter."""
    try:
        readable(body)
    except ValueError:
        return False
    return True


def check_batch(body: bytes) -> None:
    """An array is read part by part, each as it is alone."""
    try:
        found = decode_batch(body, max_messages=MAX_BATCH)
    except (ParseError, InvalidRequest):
        return
    assert is_batch(body)
    assert 0 < len(found) <= MAX_BATCH
    parts = msgspec.json.decode(body, type=list[msgspec.Raw])
    alone = [decode_or_refuse(bytes(part)) for part in parts]
    assert [described(m) for m in found] == [described(m) for m in alone]
    whole = encode_batch([again(m) for m in alone if not isinstance(m, McpdError)])
    if any(not isinstance(m, McpdError) for m in alone):
        assert is_json(whole), "the batch is no JSON when it is written"


def described(message: Message | McpdError) -> Any:
    """A message, or what an error says."""
    return message.message if isinstance(message, McpdError) else message


def depth_of(body: bytes) -> int:
    """How deep brackets are nested, strings left out; a scanner of its own."""
    depth = deepest = 0
    inside = escaped = False
    for octet in body:
        if inside:
            inside = escaped or octet != 0x22
            escaped = octet == 0x5C and not escaped
        elif octet == 0x22:
            inside = True
        elif octet in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif octet in b"]}":
            depth -= 1
    return deepest


def check_limits(body: bytes) -> None:
    """What passes is within the bounds; what is valid and within them passes."""
    try:
        json_limits.check_shape(body)
    except (ParseError, InvalidRequest):
        if is_json(body):
            long = DIGITS.search(body) is not None
            deep = depth_of(body) > json_limits.MAX_DEPTH
            many = len(body) > json_limits.MAX_CONTAINERS
            exponents = len(EXPONENT.findall(body)) > json_limits.MAX_LARGE_EXPONENTS
            assert deep or long or many or exponents, "refused in vain"
        return
    if is_json(body):
        assert depth_of(body) <= json_limits.MAX_DEPTH, "deeper than the bound"
        bare = STRINGS.sub(b"", body)
        assert not DIGITS.search(bare), "a longer number than the bound"
        assert len(EXPONENT.findall(bare)) <= json_limits.MAX_LARGE_EXPONENTS


BATCHES = st.lists(BODIES, max_size=MAX_BATCH + 1).map(lambda parts: b"[" + b",".join(parts) + b"]")
DEEP = st.tuples(st.integers(0, 140), BODIES, st.integers(0, 140)).map(
    lambda parts: b"[" * parts[0] + parts[1] + b"]" * parts[2]
)
TARGETS = [
    Target(
        "rpc-message",
        BODIES,
        check_message,
        (*SEEDS, *(b'{"jsonrpc":"2.0","method":"a","id":%b}' % odd for odd in ODD_IDS)),
        short=120,
    ),
    Target("rpc-batch", st.one_of(BATCHES, BODIES), check_batch, tuple(SEEDS), short=80),
    Target(
        "rpc-limits",
        st.one_of(BODIES, DEEP),
        check_limits,
        (
            *SEEDS,
            *(b"[" + b"9" * digits + b"]" for digits in (400, 401, 405, 450)),
            b"[" * 128 + b"]" * 128,
            b"[" * 129 + b"]" * 129,
        ),
        short=100,
    ),
]
