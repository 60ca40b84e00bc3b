"""Small transcripts against servers that do as they are told."""

import msgspec
import pytest
import trio

from mcpd.errors import ConfigError
from mcpd.http.origin import resolve_origin
from mcpd.replay.player import Player
from mcpd.replay.transcript import Entry, Transcript, read, write
from tests.scripted_server import ScriptedServer, chunk, reply, stream_head

EVENT = b'data: {"jsonrpc":"2.0","method":"notifications/x"}\n\n'
LISTEN = """mcpd transcript 1

> 1 POST /mcp/

{"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen"}

< 1 200
content-type: text/event-stream

< 1 event

{"jsonrpc": "2.0", "method": "notifications/x"}

> 1 close
"""
LEFT = """mcpd transcript 1

> 1 POST /mcp/

{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}

< 1 200
content-type: text/event-stream

> 1 close

< 1 event

{"jsonrpc": "2.0", "id": 1, "result": {}}

< 1 end
"""


@pytest.fixture
async def mismatch(nursery, monkeypatch):
    monkeypatch.setattr("mcpd.replay.expecting.HUNG_UP_S", 0.2)
    monkeypatch.setattr(
        "mcpd.replay.expecting.PATIENCE_S", dict.fromkeys(("", "soon", "later"), 0.5)
    )

    async def play(text, *answers):
        """What went otherwise, and what the server saw."""
        server = await nursery.start(ScriptedServer(list(answers)).run)
        origin, path = resolve_origin(server.url)
        outcome = await Player(origin, path, "t").play(read(text), limit_s=5)
        return outcome.mismatch, server

    return play


async def silent(stream):
    await trio.sleep_forever()


async def listening(stream):
    await stream.send_all(stream_head() + chunk(EVENT))
    await trio.sleep_forever()


async def test_what_the_client_saw_before_it_hung_up_has_to_come(mismatch):
    assert (await mismatch(LISTEN, listening))[0] is None
    found, _ = await mismatch(LISTEN, reply("500 Oops"))
    assert found.got.startswith("500")
    only_head = stream_head() + chunk(b": hello\n\n")
    found, _ = await mismatch(LISTEN, only_head)
    assert found.expected == "notifications/x"


async def test_what_nobody_waited_for_need_not_come_but_must_not_be_wrong(mismatch):
    assert (await mismatch(LEFT, silent))[0] is None
    assert (await mismatch(LEFT, stream_head()))[0] is None
    found, _ = await mismatch(LEFT, reply("500 Oops"))
    assert found.got.startswith("500")


async def test_an_end_before_the_close_is_no_excuse(mismatch):
    text = LEFT.replace("\n> 1 close\n", "") + "\n> 1 close\n"
    found, _ = await mismatch(text, reply("500 Oops"))
    assert found.got.startswith("500")


def ask(request_id):
    message = {"jsonrpc": "2.0", "id": request_id, "method": "roots/list"}
    return stream_head() + chunk(b"data: " + msgspec.json.encode(message) + b"\n\n")


ASKED = """mcpd transcript 1

> 1 POST /mcp/

{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}

< 1 200

< 1 event

{"jsonrpc": "2.0", "id": "<ask-1>", "method": "roots/list"}

> 2 POST /mcp/

{"jsonrpc": "2.0", "id": "<ask-1>", "result": {"text": "of <ask-1>"}}

< 2 202
"""


@pytest.mark.parametrize("request_id", [7, "seven"])
async def test_the_id_of_a_question_comes_back_as_it_was(mismatch, request_id):
    found, server = await mismatch(ASKED, ask(request_id), reply("202 Accepted"))
    assert found is None
    replied = msgspec.json.decode(server.seen[1].body)
    assert replied["id"] == request_id
    assert replied["result"]["text"] == f"of {request_id}"


async def test_hostile_values_are_a_mismatch(mismatch):
    lone = b'data: {"jsonrpc":"2.0","id":"\\ud800\\u0007","method":"roots/list"}\n\n'
    found, _ = await mismatch(ASKED, stream_head() + chunk(lone), reply("202 Accepted"))
    assert found is not None
    shown = LEFT.replace("\n> 1 close\n", "")
    strange = b'data: {"jsonrpc":"2.0","method":"\\ud800\\u001b[31m","params":{}}\n\n'
    found, _ = await mismatch(shown, stream_head() + chunk(strange))
    assert "\\ud800\\x1b[31m" in found.got
    found.got.encode("utf-8")


async def test_a_batch_is_answered_in_any_form(mismatch):
    text = """mcpd transcript 1

> 1 POST /mcp/

[{"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"jsonrpc": "2.0", "id": 2, "method": "ping"}]

< 1 200

[{"jsonrpc": "2.0", "id": 1, "result": {}}, {"jsonrpc": "2.0", "id": 2, "result": {}}]
"""
    answers = [b'{"jsonrpc":"2.0","id":%d,"result":{}}' % number for number in (2, 1)]
    together = reply("200 OK", b"[" + b",".join(answers) + b"]")
    assert (await mismatch(text, together))[0] is None
    apart = stream_head() + b"".join(chunk(b"data: " + one + b"\n\n") for one in answers)
    assert (await mismatch(text, apart + b"0\r\n\r\n"))[0] is None
    found, _ = await mismatch(text, reply("200 OK", b"[" + answers[0] + b"]"))
    assert found.expected == "the answer to 1"


async def test_faults_count_whatever_was_expected(mismatch):
    body = b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}'
    text = LEFT.replace("\n> 1 close\n", "").replace("tools/call", "ping")
    found, _ = await mismatch(text, reply("200 OK", body))
    assert "result and error" in found.got


async def test_events_by_other_names_are_no_messages(mismatch):
    text = LEFT.replace("\n> 1 close\n", "").replace("tools/call", "ping")
    answer = b'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'
    events = chunk(b"event: ping\ndata: keepalive\n\n") + chunk(answer) + b"0\r\n\r\n"
    assert (await mismatch(text, stream_head() + events))[0] is None
    found, _ = await mismatch(text, stream_head() + chunk(b"data: keepalive\n\n") + events)
    assert "an event holds no JSON" in found.got


@pytest.mark.parametrize("text", ["a\u2028b\u0085c", "\n", "a\n\nb", " x", "| y"])
def test_any_text_can_be_written_and_read_again(text):
    entries = [
        Entry("request", 1, method="POST", target="/", text=text),
        Entry("response", 1, statuses=(200,), body={"text": text}),
    ]
    again = read(write(Transcript({}, entries))).entries
    assert (again[0].text, again[1].body) == (text, {"text": text})


@pytest.mark.parametrize("rest", ["", "\n> 1 GET /mcp/\n"])
def test_a_transcript_without_expectations_is_none(rest):
    with pytest.raises(ConfigError, match="nothing to"):
        read("mcpd transcript 1\n" + rest)


OLD = """mcpd transcript 1

> 1 GET /sse

< 1 200

< 1 event
event: endpoint

| /messages?session_id=<session-1>

> 2 POST /messages?session_id=<session-1>
authorization: Bearer <token>

{"jsonrpc": "2.0", "method": "notifications/x"}

< 2 202
"""


@pytest.mark.parametrize(
    ("endpoint", "seen"),
    [(b"/m?a=1", "/m?a=1"), (b"m", "/m"), (b".evil.example/m", "/.evil.example/m"),
     (b"@evil.example/m", "/@evil.example/m"), (b"//evil.example/m", None),
     (b"http://evil.example/m", None)],
)  # fmt: skip
async def test_an_endpoint_does_not_lead_to_another_origin(mismatch, endpoint, seen):
    async def name(stream):
        event = b"event: endpoint\ndata: " + endpoint + b"\n\n"
        await stream.send_all(stream_head() + chunk(event))
        await trio.sleep_forever()

    found, server = await mismatch(OLD, name, reply("202 Accepted"))
    assert [one.target for one in server.seen[1:]] == ([] if seen is None else [seen])
    assert (found is None) is (seen is not None)
