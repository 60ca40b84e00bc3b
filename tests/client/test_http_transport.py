"""Servers that are busy, away, or answer strangely, against the bridge in this process."""

import msgspec
import pytest
import trio
import trio.testing

from mcpd.auth.client_token import ClientToken
from mcpd.bridge.relay import Bridge
from mcpd.client.http_transport import HttpTransport
from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin
from tests.scripted_server import ScriptedServer, chunk, reply, stream_head

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}'
PONG = reply("200 OK", b'{"jsonrpc":"2.0",\n "id":1,"result":{}}')
ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{"n":1}}'


@pytest.fixture
async def talk(nursery):
    """Send lines through a bridge to a scripted server; the messages that come back."""

    async def talk_to(
        *answers, lines=(PING,), wait_s=1.0, count=1, on_start=lambda server: None, token=None
    ):
        server = await nursery.start(ScriptedServer(list(answers)).run)
        on_start(server)
        origin, target = resolve_origin(server.url)
        async with HttpClient(origin) as client:
            upstream = HttpTransport(
                client, target, ClientToken(token, {}), url=server.url, wait_s=wait_s
            )
            stdin, ours = trio.testing.memory_stream_one_way_pair()
            out, theirs = trio.testing.memory_stream_one_way_pair()
            found, text = [], b""
            async with trio.open_nursery() as running:
                running.start_soon(Bridge(upstream, out).run, ours)
                for line in lines:
                    await stdin.send_all(line + b"\n")
                with trio.fail_after(30):
                    while len(found) < count:
                        text += await theirs.receive_some()
                        *whole, text = text.split(b"\n")
                        found += [msgspec.json.decode(line) for line in whole]
                with trio.move_on_after(0.1):  # nothing else comes
                    found.append(msgspec.json.decode(await theirs.receive_some()))
                running.cancel_scope.cancel()
        return server, found

    return talk_to


@pytest.mark.parametrize("busy", ["429 Too Many Requests", "503 Service Unavailable"])
async def test_a_busy_server_is_asked_again_when_it_said(talk, busy):
    answer = reply(busy, b'{"error":"busy"}', retry_after="1")
    server, (found,) = await talk(answer, PONG, lines=[CALL], wait_s=5)
    assert found == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert len(server.seen) == 2


async def test_a_server_that_is_busy_for_too_long(talk):
    answer = reply("503 Service Unavailable", b'{"error":"not today"}', retry_after="3600")
    server, (found,) = await talk(answer)
    assert "503: not today" in found["error"]["message"]
    assert len(server.seen) == 1


async def test_a_gateway_that_cannot_reach_its_server(talk):
    away = reply("502 Bad Gateway", b"<html>bad</html>", kind="text/html")
    _, (found,) = await talk(away, PONG)
    assert found["result"] == {}
    server, (found,) = await talk(away, PONG, lines=[CALL])  # perhaps it was carried out
    assert "502" in found["error"]["message"]
    assert len(server.seen) == 1


async def test_503_is_an_invitation_only_with_a_time(talk):
    """A gateway says it as well when the server died with the call in hand."""
    died = reply("503 Service Unavailable", b"upstream connect error", kind="text/plain")
    server, (found,) = await talk(died, PONG, lines=[CALL])
    assert "503: upstream connect error" in found["error"]["message"]
    assert "not known whether the call was carried out" in found["error"]["message"]
    assert len(server.seen) == 1
    _, (found,) = await talk(died, PONG)
    assert found["result"] == {}


async def test_a_connection_that_breaks_before_the_answer(talk):
    _, (found,) = await talk(None, PONG)
    assert found["result"] == {}
    server, (found,) = await talk(None, PONG, lines=[CALL])
    assert "not known whether the call was carried out" in found["error"]["message"]
    assert len(server.seen) == 1


async def test_a_stream_that_breaks_is_taken_up_where_it_was(talk):
    async def begin(stream):
        event = b'id: e1\nretry: 10\ndata: {"jsonrpc":"2.0","method":"notifications/message"}\n\n'
        await stream.send_all(stream_head() + chunk(event))
        await stream.send_eof()

    async def go_on(stream):
        event = b"id: e2\ndata: " + ANSWER + b"\n\n"
        await stream.send_all(stream_head() + chunk(event) + b"0\r\n\r\n")

    server, found = await talk(begin, go_on, lines=[CALL], count=2)
    assert [message.get("method", message.get("id")) for message in found] == [
        "notifications/message",
        1,
    ]
    assert server.seen[1].method == "GET"
    assert server.seen[1].headers["last-event-id"] == "e1"


async def test_a_stream_whose_rest_is_gone(talk):
    async def begin(stream):
        await stream.send_all(stream_head() + chunk(b"id: e1\nretry: 10\ndata:\n\n"))
        await stream.send_eof()

    gone = reply("404 Not Found")
    server, (found,) = await talk(begin, gone, PONG)
    assert found["result"] == {}  # it does no harm to ask again
    assert [seen.method for seen in server.seen] == ["POST", "GET", "POST"]
    _, (found,) = await talk(begin, gone, PONG, lines=[CALL])
    assert "the rest of the answer cannot be had" in found["error"]["message"]


async def test_a_stream_that_breaks_without_an_id(talk):
    async def begin(stream):
        await stream.send_all(stream_head() + chunk(b": hello\n\n"))
        await stream.send_eof()

    _, (found,) = await talk(begin, lines=[CALL])
    assert "ended before the answer" in found["error"]["message"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (reply("200 OK", b"<html>hello</html>", kind="text/html"), "no MCP (text/html)"),
        (reply("404 Not Found", b"nothing here", kind="text/plain"), "404: nothing here"),
        (reply("202 Accepted"), "answers 202"),
        (reply("200 OK", b'{"jsonrpc":"2.0","id":9,"result":{}}'), "answers another request"),
        (reply("403 Forbidden", b'{"jsonrpc":"2.0","error":{"code":-1,"message":"no"}}'), "no"),
        (reply("401 Unauthorized", b""), "wants a token"),
        (reply("200 OK", b'{"id":null,"error":{"code":-1,"message":"no name"}}'), "no name"),
    ],
)
async def test_strange_answers_become_errors_of_the_request(talk, answer, told):
    _, (found,) = await talk(answer)
    assert found["id"] == 1
    assert told in found["error"]["message"]


async def test_an_answer_goes_to_the_client_once(talk):
    async def twice(stream):
        event = b"data: " + ANSWER + b"\n\n"
        await stream.send_all(stream_head() + chunk(event + event) + b"0\r\n\r\n")

    other = reply("200 OK", b'{"jsonrpc":"2.0","id":2,"result":{}}')
    second = PING.replace(b":1,", b":2,")

    async def both(stream):  # whichever request comes first
        await (twice(stream) if server_of[0].seen[-1].body == CALL else stream.send_all(other))

    server_of = []
    _, found = await talk(both, lines=[CALL, second], count=2, on_start=server_of.append)
    assert sorted(message["id"] for message in found) == [1, 2]


async def test_messages_over_several_lines_become_one(talk):
    async def play(stream):
        event = b'data: {"jsonrpc":"2.0",\ndata:  "id":1,\ndata:  "result":{}}\n\n'
        await stream.send_all(stream_head() + chunk(event) + b"0\r\n\r\n")

    _, (found,) = await talk(play)
    assert found == {"jsonrpc": "2.0", "id": 1, "result": {}}


async def test_a_batch_is_answered_as_a_whole(talk):
    batch = b"[" + PING + b"," + PING.replace(b":1,", b":2,") + b"]"
    both = b'[{"jsonrpc":"2.0","id":2,"result":{}},{"jsonrpc":"2.0","id":1,"result":{}}]'
    server, found = await talk(reply("200 OK", both), lines=[batch], count=2)
    assert sorted(message["id"] for message in found) == [1, 2]
    assert server.seen[0].body == batch


async def test_too_many_requests_at_once_are_refused(talk, monkeypatch):
    monkeypatch.setattr("mcpd.bridge.relay.MAX_AT_ONCE", 1)

    async def never(stream):
        await trio.sleep(5)

    _, (found,) = await talk(never, lines=[PING, PING.replace(b":1,", b":2,")])
    assert found["id"] == 2
    assert "run already" in found["error"]["message"]


async def test_a_line_has_a_bound(talk, monkeypatch):
    monkeypatch.setattr("mcpd.bridge.relay.MAX_LINE_BYTES", 100)
    _, found = await talk(PONG, lines=[b"x" * 200, PING], count=2)
    assert "more than 100 bytes" in found[0]["error"]["message"]
    assert found[1]["result"] == {}


DEEP = b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
NO_MESSAGES = [
    reply("200 OK", b'{"jsonrpc":"2.0","id":1,"result":"\xff"}'),
    reply("200 OK", DEEP),
    reply("200 OK", b'{"jsonrpc":"2.0","id":1e999,"result":{}}'),
    reply("401 Unauthorized", b'{"error":"\xff"}'),
    reply("500 Oops", b'{"jsonrpc":"2.0","id":1,"error":{"code":1e999,"message":"\xff"}}'),
]


@pytest.mark.parametrize("answer", NO_MESSAGES)
async def test_what_is_no_message_is_an_error_of_its_request_alone(talk, answer):
    second = PING.replace(b":1,", b":2,")
    pong = reply("200 OK", b'{"jsonrpc":"2.0","id":2,"result":{}}')
    server_of = []

    async def play(stream):
        await stream.send_all(pong if server_of[0].seen[-1].body == second else answer)

    lines = [CALL, second]
    _, found = await talk(play, lines=lines, count=2, on_start=server_of.append)
    by_id = {message["id"]: message for message in found}
    assert "error" in by_id[1]
    assert by_id[2]["result"] == {}


async def test_events_that_are_no_messages_are_passed_over(talk):
    async def play(stream):
        events = b"data: hello\n\ndata: \xff\n\ndata: " + ANSWER + b"\n\n"
        await stream.send_all(stream_head() + chunk(events) + b"0\r\n\r\n")

    _, (found,) = await talk(play, lines=[CALL])
    assert found["result"] == {"n": 1}


HELLO = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize",'
    b'"params":{"protocolVersion":"2025-11-25","capabilities":{}}}'
)
READY = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


@pytest.mark.parametrize("version", ["2025\\n", "é", ""])
async def test_a_version_that_is_no_field_value(talk, version):
    told = f'{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"{version}"}}}}'.encode()

    async def play(stream):
        hello = server_of[0].seen[-1].body.find(b'initialize"') > 0
        await stream.send_all(reply("200 OK", told) if hello else PONG)

    server_of = []
    _, found = await talk(play, lines=[HELLO, PING], count=2, on_start=server_of.append)
    assert {message["id"] for message in found} == {0, 1}


async def test_an_event_id_that_is_no_field_value(talk):
    async def begin(stream):
        event = b'id: e\x01 \nretry: 1\ndata: {"jsonrpc":"2.0","method":"notifications/x"}\n\n'
        await stream.send_all(stream_head() + chunk(event))
        await stream.send_eof()

    _, found = await talk(begin, lines=[CALL], count=2)
    assert "cannot be sent" in found[1]["error"]["message"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":1e999,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":5,"method":"initialize","params":{"n":1e999}}',
    ],
)
async def test_numbers_out_of_range_are_refused(talk, line):
    _, found = await talk(PONG, lines=[line, PING], count=2)
    refused = next(message for message in found if "error" in message)
    assert refused["error"]["code"] == -32600
    assert refused.get("id") in (None, 5)
    assert any(message.get("result") == {} for message in found)


async def test_a_notification_out_of_range_is_dropped(talk):
    notice = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1e999}}'
    _, (found,) = await talk(PONG, lines=[notice, PING])
    assert found["result"] == {}


async def test_tools_that_are_no_tools(talk):
    odd = b'{"jsonrpc":"2.0","id":1,"result":{"tools":null,"x":"x-mcp-header"}}'
    _, (found,) = await talk(reply("200 OK", odd), lines=[PING.replace(b"ping", b"tools/list")])
    assert found["result"]["tools"] is None


@pytest.mark.parametrize("endpoint", [b"http://[x", b"/mess ages", "/é".encode(), b"http://b/m"])
async def test_an_endpoint_that_cannot_be_used(talk, endpoint):
    async def play(stream):
        if server_of[0].seen[-1].method == "POST":
            await stream.send_all(reply("405 Method Not Allowed"))
        else:
            event = b"event: endpoint\ndata: " + endpoint + b"\n\n"
            await stream.send_all(stream_head() + chunk(event))

    server_of = []
    _, found = await talk(play, lines=[HELLO], on_start=server_of.append)
    assert "error" in found[0]


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        ("404 Not Found", b'{"error":"not_found","error_description":"Not here."}', "Not here."),
        ("403 Forbidden", b'{"error":"insufficient_scope"}', "insufficient_scope"),
        ("400 Bad Request", b'{"error":{"code":"x","message":3}}', "400"),
        ("200 OK", b'{"error":"oops"}', "no MCP"),
    ],
)
async def test_other_errors_are_no_messages(talk, status, body, told):
    _, (found,) = await talk(reply(status, body))
    assert isinstance(found["error"]["code"], int)
    assert told in found["error"]["message"]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ({"result": {"n": 1}, "error": None}, {"result": {"n": 1}}),
        ({"error": {"code": -7.0, "message": "x"}}, {"error": {"code": -7, "message": "x"}}),
        ({"error": {"code": -1}}, {"error": {"code": -1, "message": "(without a word)"}}),
        ({"error": {"code": -1, "message": None, "data": 5}},
         {"error": {"code": -1, "message": "(without a word)", "data": 5}}),
        ({"error": {"message": "no"}}, {"error": {"code": -32603, "message": "no"}}),
    ],
)  # fmt: skip
async def test_sloppy_answers_reach_the_client_in_good_form(talk, message, shown):
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, **message})
    _, (found,) = await talk(reply("200 OK", body), lines=[CALL])
    assert found == {"jsonrpc": "2.0", "id": 1, **shown}


def redirect(status, location):
    return reply(status, b"moved", kind="text/plain", location=location)


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "308 Permanent Redirect"])
@pytest.mark.parametrize("location", ["/mcp/", "mcp/", "http://127.0.0.1:{port}/mcp/?x=1"])
async def test_a_redirect_to_the_same_origin_is_followed(talk, tmp_path, status, location):
    (tmp_path / "token").write_text("the-token")
    answers = [None, reply("200 OK", ANSWER)]

    def point(server):
        server.answers[0] = redirect(status, location.format(port=server.port))

    server, (found,) = await talk(*answers, lines=[CALL], on_start=point, token=tmp_path / "token")
    assert found["result"] == {"n": 1}
    assert [seen.method for seen in server.seen] == ["POST", "POST"]
    assert server.seen[1].target.startswith("/mcp/")
    assert server.seen[1].body == CALL
    assert server.seen[1].headers["authorization"] == "Bearer the-token"


@pytest.mark.parametrize(
    ("status", "location", "told"),
    [
        ("307 Temporary Redirect", "http://localhost:{port}/mcp/", "http://localhost:"),
        ("307 Temporary Redirect", "https://127.0.0.1:{port}/mcp/", "https://127.0.0.1:"),
        ("308 Permanent Redirect", "//evil.example/?key=hidden", "http://evil.example/."),
        ("307 Temporary Redirect", "http://me:hidden@evil.example/", "http://evil.example/."),
        ("307 Temporary Redirect", "http://127.0.0.1:{port}@evil.example/", "evil.example/."),
        ("307 Temporary Redirect", "http://[x", "what is no URL"),
        ("307 Temporary Redirect", "", "names no place"),
        ("301 Moved Permanently", "/mcp/", "may turn a POST into a GET"),
        ("302 Found", "/login", "may turn a POST into a GET"),
    ],
)
async def test_another_redirect_is_an_error_that_says_where_it_leads(
    talk, tmp_path, status, location, told
):
    (tmp_path / "token").write_text("the-token")

    def point(server):
        server.answers[0] = redirect(status, location.format(port=server.port))

    server, (found,) = await talk(None, PONG, on_start=point, token=tmp_path / "token")
    assert told in found["error"]["message"]
    assert "hidden" not in str(found)
    assert len(server.seen) == 1


async def test_redirects_in_a_circle_end(talk):
    server, (found,) = await talk(redirect("307 Temporary Redirect", "/mcp"))
    assert "5 redirects were followed" in found["error"]["message"]
    assert len(server.seen) == 6


async def test_the_endpoint_of_http_sse_is_relative_to_where_a_redirect_led(talk):
    async def play(stream):
        seen = server_of[0].seen[-1]
        if seen.target == "/mcp":
            status = "404 Not Found" if seen.method == "POST" else "307 Temporary Redirect"
            await stream.send_all(redirect(status, "/old/sse"))
        elif seen.method == "GET":
            await stream.send_all(stream_head() + chunk(b"event: endpoint\ndata: messages?x=1\n\n"))
            streams.append(stream)
            await trio.sleep(20)
        else:
            await stream.send_all(reply("202 Accepted"))
            answer = b'{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2024-11-05"}}'
            await streams[0].send_all(chunk(b"data: " + answer + b"\n\n"))

    server_of, streams = [], []
    server, (found,) = await talk(play, lines=[HELLO], on_start=server_of.append)
    assert "result" in found
    assert server.seen[-1].target == "/old/messages?x=1"


@pytest.mark.parametrize(
    "answer",
    [
        reply("200 OK", b'{"jsonrpc":"2.0","id":"1","result":{"big":12345678901234567890123}}'),
        reply("200 OK", b'{"jsonrpc":"2.0","id":1.0,"result":{"big":12345678901234567890123}}'),
        reply("400 Bad Request", b'{"jsonrpc":"2.0","id":"1","error":{"code":-1,"message":"n"}}'),
        reply("200 OK", b'[{"jsonrpc":"2.0","id":"1","result":{}}]'),
        stream_head() + chunk(b'data: {"jsonrpc":"2.0","id":"1","result":{}}\n\n'),
    ],
)
async def test_an_id_that_the_server_spelt_otherwise_is_the_same_id(talk, answer):
    async def play(stream):
        await stream.send_all(answer)
        await stream.send_eof()

    _, (found,) = await talk(play, lines=[CALL])
    assert type(found["id"]) is int
    assert found["id"] == 1
    assert "error" not in found or found["error"]["message"] == "n"


async def test_two_requests_that_differ_in_the_kind_of_their_ids_keep_their_answers(talk):
    text = PING.replace(b'"id":1', b'"id":"1"')

    async def play(stream):
        is_text = server_of[0].seen[-1].body == text
        request_id = b'"1"' if is_text else b"1"
        body = b'{"jsonrpc":"2.0","id":%b,"result":{"text":%b}}'
        await stream.send_all(
            reply("200 OK", body % (request_id, b"true" if is_text else b"false"))
        )

    server_of = []
    _, found = await talk(play, lines=[PING, text], count=2, on_start=server_of.append)
    assert {(type(one["id"]), one["result"]["text"]) for one in found} == {
        (int, False),
        (str, True),
    }
