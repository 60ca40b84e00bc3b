"""JSON that is passed on undecoded, and cannot be decoded when it is needed."""

import msgspec
import pytest

from mcpd.app.questions import BadAnswer, ListRoots
from mcpd.auth.principals import LOCAL_PRINCIPAL
from mcpd.auth.seal import Sealer
from mcpd.errors import InvalidParams
from mcpd.mcp.envelope.params import read_common
from mcpd.mcp.questions import server_requests
from mcpd.mcp.questions.input_required import InputRequired, InputRounds
from mcpd.rpc.messages import Call, RequestId

HUGE = b'{"roots": 1e999}'  # JSON, and no number that a double holds
SEALER = Sealer("test")
QUESTION = ListRoots(key="roots")


def rounds(params: bytes) -> InputRounds:
    call = Call(RequestId(b"1"), "tools/call", msgspec.Raw(params))
    return InputRounds(call, read_common(call.params), LOCAL_PRINCIPAL, SEALER)


async def test_an_answer_with_a_number_that_nothing_holds_is_invalid_params():
    with pytest.raises(InputRequired) as asked:
        await rounds(b"{}").ask([QUESTION])
    state = rounds(b"{}").result(asked.value)["requestState"].encode()
    answered = b'{"requestState": "%b", "inputResponses": {"roots": %b}}' % (state, HUGE)
    with pytest.raises(InvalidParams, match="cannot be read"):
        await rounds(answered).ask([QUESTION])


async def test_params_with_a_number_that_nothing_holds_cannot_be_asked_about():
    with pytest.raises(InputRequired) as asked:
        await rounds(HUGE).ask([QUESTION])
    with pytest.raises(InvalidParams, match="The params cannot be read"):
        rounds(HUGE).result(asked.value)


def test_a_reply_with_a_number_that_nothing_holds_is_no_answer():
    kept = msgspec.json.encode({"result": msgspec.Raw(HUGE)})
    with pytest.raises(BadAnswer, match="cannot be read"):
        server_requests._read(kept)
