"""Questions to the client in both eras: one tool source, two ways."""

import msgspec
import pytest
import trio

from mcpd.app.app import App
from mcpd.app.context import Context
from mcpd.auth.seal import BrokenSeal, Sealer
from mcpd.auth.secrets import Secret
from mcpd.errors import ToolError
from mcpd.mcp.questions.session_asker import simple_form
from tests.in_process import modern, serving
from tests.mcp.everything import ANSWERS, CAPABLE, Capable, ask_modern, everything
from tests.peer import parse_events


@pytest.fixture
async def server(tmp_path):
    async with everything(tmp_path) as server:
        yield server


QUESTIONS = [
    ("test_input_required_result_elicitation", "Hello, Ada!", 1),
    ("test_input_required_result_sampling", "Sampling result: sampled", 1),
    ("test_input_required_result_list_roots", "Found 1 root(s)", 1),
    ("test_input_required_result_multiple_inputs", "Name: Ada; Greeting: sampled; Roots: 1", 3),
    ("test_input_required_result_multi_round", "Multi-round complete for Ada who likes red", 2),
    ("test_elicitation_url", "action=accept", 1),
]


@pytest.mark.parametrize(("name", "text", "count"), QUESTIONS)
@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
async def test_one_tool_asks_in_the_handshake_era(server, name, text, count, version):
    session = Capable(server, version)
    await session.open()
    message = await session.tool(name)
    if "url" in name and version == "2025-06-18":
        assert message["result"]["isError"] is True  # not in that revision
        assert session.asked == []
        return
    assert message["result"]["content"][0]["text"] == text
    assert len(session.asked) == count
    assert len({asked["id"] for asked in session.asked}) == count
    modes = [a["params"].get("mode") for a in session.asked if "elicitation" in a["method"]]
    assert all(mode is None for mode in modes) is (version == "2025-06-18" or not modes)


@pytest.mark.parametrize(("name", "text", "count"), QUESTIONS)
async def test_the_same_tool_asks_in_the_modern_era(server, name, text, count):
    message, asked = await ask_modern(server.user(), "tools/call", {"name": name})
    assert message["result"]["content"][0]["text"] == text
    assert message["result"]["resultType"] == "complete"
    assert len(asked) == count


async def test_prompts_ask_too(server):
    params = {"name": "test_input_required_result_prompt"}
    message, _ = await ask_modern(server.user(), "prompts/get", params)
    assert "Use this context: tests" in message["result"]["messages"][0]["content"]["text"]
    session = Capable(server)
    await session.open()
    assert "tests" in str(await session.converse("prompts/get", params))


async def test_what_a_client_did_not_declare_is_never_asked(server):
    session = Capable(server)
    await session.open(capabilities={})
    refused = await session.tool("test_elicitation", {"message": "?"})
    assert refused["result"]["isError"] is True
    assert session.asked == []
    params = {"name": "test_elicitation", "arguments": {"message": "?"}}
    message, asked = await ask_modern(server.user(), "tools/call", params, capabilities={})
    assert asked == []
    assert message["error"]["code"] == -32021
    assert message["error"]["data"]["requiredCapabilities"] == {"elicitation": {"form": {}}}


class Rounds:
    def __init__(self, server, name="test_input_required_result_multi_round"):
        self.server = server
        self.params = {"name": name}
        self.meta = {"io.modelcontextprotocol/clientCapabilities": CAPABLE}

    async def post(self, user="alice", **more):
        params = {**self.params, **more}
        reply = await modern(self.server.user(user), "tools/call", params, meta=self.meta)
        return reply.status, reply.messages()[-1]

    async def first(self):
        return (await self.post())[1]["result"]


NAME = {"step1": {"action": "accept", "content": {"name": "Ada"}}}


async def test_state_is_bound_to_its_request_its_user_and_its_bytes(server):
    rounds = Rounds(server)
    state = (await rounds.first())["requestState"]
    status, message = await rounds.post(inputResponses=NAME, requestState=state)
    assert message["result"]["resultType"] == "input_required"
    for changes in (
        {"user": "mallory"},
        {"arguments": {"other": 1}},
        {"requestState": state[:-8] + "AAAAAAAA"},
        {"requestState": "A" + state},
        {"requestState": ""},
        {"requestState": "\u00e4"},
        {"name": "test_input_required_result_elicitation"},
    ):
        status, message = await rounds.post(
            **{"inputResponses": NAME, "requestState": state, **changes}
        )
        assert (status, message["error"]["code"]) == (400, -32602), changes


async def test_request_state_expires(server, monkeypatch):
    rounds = Rounds(server)
    monkeypatch.setattr("mcpd.mcp.questions.input_required.STATE_TTL_S", -1)
    state = (await rounds.first())["requestState"]
    status, message = await rounds.post(inputResponses=NAME, requestState=state)
    assert (status, "expired" in message["error"]["message"]) == (400, True)


async def test_surplus_answers_are_ignored_and_missing_ones_asked_again(server):
    rounds = Rounds(server)
    first = await rounds.first()
    state = first["requestState"]
    surplus = {"step2": NAME["step1"], "never": {"action": "accept"}}
    _, again = await rounds.post(inputResponses=surplus, requestState=state)
    assert again["result"]["inputRequests"] == first["inputRequests"]
    _, again = await rounds.post(requestState=state)
    assert again["result"]["inputRequests"] == first["inputRequests"]


@pytest.mark.parametrize("wrong", [{"step1": 3}, {"step1": {}}, {"step1": {"action": "x"}}, []])
async def test_answers_that_are_none_are_refused(server, wrong):
    rounds = Rounds(server)
    state = (await rounds.first())["requestState"]
    status, message = await rounds.post(inputResponses=wrong, requestState=state)
    assert (status, message["error"]["code"]) == (400, -32602)


async def test_a_refusal_of_the_user_reaches_the_tool(server):
    rounds = Rounds(server, "test_elicitation")
    rounds.params["arguments"] = {"message": "?"}
    first = await rounds.first()
    (key,) = first["inputRequests"]
    _, message = await rounds.post(
        inputResponses={key: {"action": "decline"}}, requestState=first["requestState"]
    )
    assert "action=decline" in message["result"]["content"][0]["text"]


async def test_questions_of_several_tasks_go_out_together(tmp_path):
    app = App("x")

    @app.tool
    async def both(ctx: Context) -> str:
        said = {}

        async def ask(number: int) -> None:
            said[number] = (await ctx.sample(f"question {number}")).text

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(ask, number)
        return " ".join(said[number] for number in range(3))

    async with serving(tmp_path, [app]) as server:
        message, _ = await ask_modern(server.user(), "tools/call", {"name": "both"})
        assert message["result"]["content"][0]["text"] == "sampled sampled sampled"
        session = Capable(server)
        await session.open()
        assert (await session.tool("both"))["result"]["isError"] is False
        assert len(session.asked) == 3


async def test_a_cancelled_call_takes_its_question_back(server):
    session = Capable(server)
    await session.open()
    peer = server.user()
    params = {"name": "test_elicitation", "arguments": {"message": "?"}}
    message = {"jsonrpc": "2.0", "id": "q", "method": "tools/call", "params": params}
    await peer.begin("POST", "/mcp/", json=message, headers=session.headers)
    await peer.head()
    text = b""
    while b"elicitation/create" not in text:
        text += await peer.piece() or b""
    await session.notify("notifications/cancelled", {"requestId": "q"})
    while (piece := await peer.piece()) is not None:
        text += piece
    assert b"notifications/cancelled" in text
    assert b'"result"' not in text


def test_a_seal_opens_only_what_it_sealed():
    old, new = Secret(b"o" * 40), Secret(b"n" * 40)
    sealer = Sealer("x", (old,))
    sealed = sealer.seal(b"payload")
    assert sealer.open(sealed) == b"payload"
    sealer.use((new, old))
    assert sealer.open(sealed) == b"payload"
    assert Sealer("x", (new, old)).open(sealer.seal(b"y")) == b"y"
    for other in (Sealer("y", (old,)), Sealer("x", (new,)), Sealer("x")):
        with pytest.raises(BrokenSeal):
            other.open(sealed)
    for broken in ("", "AA", "!", sealed + "A", sealed[:-1], "x" * 400_000):
        with pytest.raises(BrokenSeal):
            sealer.open(broken)
    assert msgspec.json.encode(sealed)


async def test_a_client_that_does_not_answer_is_not_waited_for_for_ever(server, monkeypatch):
    monkeypatch.setattr("mcpd.mcp.questions.server_requests.ANSWER_TIMEOUT_S", 0.2)
    session = Capable(server)
    await session.open()
    params = {"name": "test_elicitation", "arguments": {"message": "?"}}
    reply = await session.call("tools/call", params)
    *_, cancelled, answer = reply.messages()
    assert cancelled["method"] == "notifications/cancelled"
    assert "did not answer" in answer["result"]["content"][0]["text"]


async def test_an_error_of_the_client_reaches_the_tool_as_a_refusal(server):
    session = Capable(server)
    await session.open()
    peer = server.user()
    params = {"name": "test_elicitation", "arguments": {"message": "?"}}
    message = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params}
    await peer.begin("POST", "/mcp/", json=message, headers=session.headers)
    await peer.head()
    text = b""
    while b"ask-" not in text:
        text += await peer.piece() or b""
    asked = text[text.index(b"ask-") :].split(b'"')[0].decode()
    error = {"jsonrpc": "2.0", "id": asked, "error": {"code": -1, "message": "no"}}
    await session.peer.request("POST", "/mcp/", json=error, headers=session.headers)
    while (piece := await peer.piece()) is not None:
        text += piece
    assert b"refused to answer" in text


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26"])
async def test_what_a_revision_does_not_have_is_not_asked(server, version):
    """A client may declare more than its revision has"""
    session = Capable(server, version)
    await session.open()
    refused = await session.tool("test_elicitation", {"message": "?"})
    assert refused["result"]["isError"] is True
    assert session.asked == []
    assert (await session.tool("test_roots"))["result"]["isError"] is False


def test_forms_in_the_terms_of_2025_06_18():
    titled = {"type": "string", "oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]}
    form = {"type": "object", "properties": {"x": titled, "y": {"type": "string"}}}
    assert simple_form(form)["properties"] == {
        "x": {"type": "string", "enum": ["a", "b"], "enumNames": ["A", ""]},
        "y": {"type": "string"},
    }
    with pytest.raises(ToolError):
        simple_form({"type": "object", "properties": {"x": {"type": "array"}}})


async def test_an_answer_in_a_batch_reaches_its_question(server):
    session = Capable(server, "2025-03-26")
    await session.open()
    peer = server.user()
    params = {"name": "test_input_required_result_list_roots", "arguments": {}}
    call = {"jsonrpc": "2.0", "id": "call", "method": "tools/call", "params": params}
    await peer.begin("POST", "/mcp/", json=call, headers=session.headers)
    await peer.head()
    (asked,) = parse_events(await peer.piece() or b"")
    question = msgspec.json.decode(asked["data"])
    answer = {"jsonrpc": "2.0", "id": question["id"], "result": ANSWERS["roots/list"]}
    taken = await session.peer.request("POST", "/mcp/", json=[answer], headers=session.headers)
    assert taken.status == 202
    with trio.fail_after(30):
        (result,) = parse_events(await peer.piece() or b"")
    assert "Found 1 root(s)" in result["data"]
