"""Bodies that are messages, bodies that are not, and bodies that are meant to hurt."""

import random

import msgspec
import pytest

from mcpd.errors import InvalidParams, InvalidRequest, McpdError, ParseError
from mcpd.rpc import json_limits
from mcpd.rpc.messages import (
    Call,
    Notification,
    RpcResponse,
    decode,
    decode_batch,
    encode_error,
    encode_result,
    readable_id,
)

IDS = [b"0", b"1", b"-7", b'""', b'"1"', b"1.0", b"12345678901234567890123", b'"\xc3\xa9"']


@pytest.mark.parametrize("request_id", IDS)
def test_an_id_goes_back_as_it_came(request_id):
    """MCP: the same value and the same type"""
    message = decode(b'{"jsonrpc":"2.0","id":' + request_id + b',"method":"ping"}')
    assert isinstance(message, Call)
    assert encode_result(message.id, b"{}") == (
        b'{"jsonrpc":"2.0","id":' + request_id + b',"result":{}}'
    )


def test_messages_are_told_apart_by_their_members():
    assert isinstance(decode(b'{"jsonrpc":"2.0","method":"x","params":{"a":1}}'), Notification)
    assert isinstance(decode(b'{"jsonrpc":"2.0","id":1,"result":{}}'), RpcResponse)
    assert isinstance(decode(b'{"jsonrpc":"2.0","id":1,"error":{"code":1}}'), RpcResponse)
    assert decode(b'{"jsonrpc":"2.0","id":1,"method":"x"}').params == msgspec.Raw(b"{}")  # type: ignore[union-attr]


NOT_JSON = [b"", b"nul", b"{", b'{"a":1,}', b'{"a":NaN}', b'"\xff"', b"\xef\xbb\xbf{}", b"{}{}",
            b'{"a":"\\ud800"}',
            b'{"jsonrpc":"2.0","method":"a","params":{"x":"\xff"}}']  # fmt: skip


@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_not_json_is_refused(body):
    with pytest.raises(ParseError):
        decode(body)


NOT_MESSAGES = [b"3", b'"x"', b"null", b"{}", b'{"jsonrpc":"1.0","id":1,"method":"x"}',
                b'{"jsonrpc":2.0,"id":1,"method":"x"}', b'{"id":1,"method":"x"}',
                b'{"jsonrpc":"2.0","id":null,"method":"x"}',
                b'{"jsonrpc":"2.0","id":{},"method":"x"}',
                b'{"jsonrpc":"2.0","id":true,"method":"x"}',
                b'{"jsonrpc":"2.0","id":1,"method":7}',
                b'{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}',
                b'{"jsonrpc":"2.0","id":1,"method":"x","params":null}',
                b'{"jsonrpc":"2.0","id":1}', b'{"jsonrpc":"2.0","id":1,"result":1,"error":{}}',
                b'{"jsonrpc":"2.0","result":1}',
                b'{"jsonrpc":"2.0","id":"' + b"x" * 2000 + b'","method":"x"}']  # fmt: skip


@pytest.mark.parametrize("body", NOT_MESSAGES)
def test_json_that_is_no_message(body):
    with pytest.raises(InvalidRequest):
        decode(body)


HOSTILE = [
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + b"[" * 200 + b"]" * 200 + b"}}",
    b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + b"9" * 5000 + b"}}",
    b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1' + b',"k":1' * 210_000 + b"}}",
    b'"' + b"\\" * 500_000,
    b'{"a":"' + b"[" * 500_000,
    b"{" * 129 + b'"' + b'\\"' * 400_000,  # strings that never end
    b"[" * 129 + b'"' * 400_001,
    b"{" * 129 + b'"' + b"\\" * 400_001,
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_body_costs_a_400(body):
    """And little time: one that took long would hang the run."""
    with pytest.raises(McpdError) as caught:
        decode(body)
    assert caught.value.status == 400
    assert readable_id(body) in (None, b"1")


NUMBER, LONG = b"1.7976931348623157e308,", b"9" * 390 + b","
COSTLY = {
    "empty arrays": b"[]," * 60_000,
    "empty objects": b"{}," * 60_000,
    "numbers": b"1," * 210_000,
    "strings": b'"",' * 210_000,
    "members": b'{"a":1},' * 60_000,
    "large exponents": NUMBER * 1_100,
    "small exponents": b"5e-324," * 1_100,
    "large exponents among others": b"1," * 2_000 + NUMBER * 1_100,
    "a long number at the end": b"1," * 2_000 + b"9" * 401 + b",",
    "a long number across samples": b" " * 39 + b"0." + b"9" * 401 + b",",
}


@pytest.mark.parametrize("case", COSTLY)
def test_what_costs_more_to_decode_than_to_send_is_refused(case):
    body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":[' + COSTLY[case] + b"0]}}"
    with pytest.raises(InvalidRequest, match=r"more than \d+"):
        decode(body)


def test_what_costs_little_is_not_refused_for_its_size():
    text = '1,2,"[{' * 200_000 + "1e300," * 3_000
    values = {"text": text, "vectors": [[0.125] * 1536] * 100, "long": 1}
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "x", "params": {}})
    body = body[:-2] + msgspec.json.encode(values)[1:-2] + b"9" * 399 + b"}}"
    assert isinstance(decode(body), Call)


@pytest.mark.parametrize("bad", [b"1.5", b"1e999", b"1e2", b"-0.1", b"true", b"{}", b"[1]"])
def test_an_id_is_a_string_or_an_integer(bad):
    body = b'{"jsonrpc":"2.0","id":' + bad + b',"method":"ping"}'
    with pytest.raises(InvalidRequest, match="integer"):
        decode(body)
    assert readable_id(body) is None


def test_an_id_that_is_no_utf8_is_not_repeated():
    assert readable_id(b'{"jsonrpc":"2.0","id":"\xff","method":"ping"}') is None


def test_brackets_and_digits_in_strings_do_not_count():
    text = "[{" * 500 + "9" * 1000 + '\\"[' * 10
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"t": text}})
    assert isinstance(decode(body), Call)


def test_what_closes_more_than_it_opens_is_left_to_the_decoder():
    with pytest.raises(InvalidRequest, match="Expected"):
        decode(b"[]," * 129 + b"]" * 4_000_000)


def test_large_exponents_and_long_numbers_are_counted_in_every_spelling():
    for form in (b"1e300", b"1E+300", b"2.5e-300"):
        for count, fits in ((1000, True), (1001, False)):
            body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":[%b]}}'
            body %= b",".join([form] * count)
            if fits:
                assert isinstance(decode(body), Call)
            else:
                with pytest.raises(InvalidRequest, match="exponents"):
                    decode(body)
    for digits, fits in ((400, True), (401, False)):
        body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":0.%b}}' % (b"9" * digits)
        if fits:
            assert isinstance(decode(body), Call)
        else:
            with pytest.raises(InvalidRequest, match="digits"):
                decode(body)


def test_the_bounds_themselves_pass():
    deep = b"[" * (json_limits.MAX_DEPTH - 2) + b"]" * (json_limits.MAX_DEPTH - 2)
    body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + deep + b"}}"
    assert isinstance(decode(body), Call)


def test_garbage_decodes_or_is_the_peers_error():
    rng = random.Random(3)
    body = b'{"jsonrpc":"2.0","id":"a1","method":"tools/call","params":{"name":"x","n":[1,2.5e3]}}'
    for _ in range(3000):
        data = bytearray(body)
        for _ in range(rng.randint(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            decode(bytes(data))
        except McpdError as error:
            assert error.status == 400  # noqa: PT017


def test_the_id_of_a_refused_message_is_read_if_it_is_legal():
    assert readable_id(b'{"id":7}') == b"7"
    assert readable_id(b'{"id":null}') is None
    assert readable_id(b"{") is None


def test_errors_omit_an_id_that_could_not_be_read():
    """MCP has no null id"""
    assert encode_error(None, InvalidParams("No.", fix="Do.")) == (
        b'{"jsonrpc":"2.0","error":{"code":-32602,"message":"No. Do."}}'
    )


def test_a_batch_is_read_message_by_message():
    found = decode_batch(b'[{"jsonrpc":"2.0","method":"a"}, 3]', max_messages=2)
    assert isinstance(found[0], Notification)
    assert isinstance(found[1], InvalidRequest)
    for body in (b"[]", b"[1,2,3]"):
        with pytest.raises(InvalidRequest):
            decode_batch(body, max_messages=2)
