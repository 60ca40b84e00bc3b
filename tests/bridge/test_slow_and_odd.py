"""Clients that do not read, servers that do not answer, and what neither may learn."""

import logging

import msgspec
import pytest
import trio

from mcpd.auth.client_token import ClientToken
from mcpd.bridge.relay import Bridge
from mcpd.client.http_transport import HttpTransport
from mcpd.client.refusals import is_gone
from mcpd.errors import ConfigError
from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin
from tests.bridged import bridged, opened
from tests.scripted_server import ScriptedServer, SessionServer, answer_to, reply


class Slow(trio.abc.SendStream):
    """Takes one line at a time, when it is let."""

    def __init__(self):
        self.lines = []
        self.may = trio.Event()

    async def send_all(self, data):
        await self.may.wait()
        self.lines.append(bytes(data))

    async def wait_send_all_might_not_block(self):
        raise NotImplementedError

    async def aclose(self):
        raise NotImplementedError


async def test_a_client_that_does_not_read_for_a_while_loses_no_answer(nursery, monkeypatch):
    monkeypatch.setattr("mcpd.client.pending.LINGER_S", 0.02)

    async def play(stream):
        asked = msgspec.json.decode(server.seen[-1].body)["id"]
        await stream.send_all(reply("200 OK", answer_to(asked, {})))

    server = ScriptedServer([play])
    await nursery.start(server.run)
    origin, target = resolve_origin(server.url)
    async with HttpClient(origin) as http, trio.open_nursery() as running:
        upstream = HttpTransport(http, target, ClientToken(None, {}), url=server.url, wait_s=1.0)
        stdin, ours = trio.testing.memory_stream_one_way_pair()
        slow = Slow()
        running.start_soon(Bridge(upstream, slow).run, ours)
        for number in range(8):
            message = {"jsonrpc": "2.0", "id": number, "method": "ping"}
            await stdin.send_all(msgspec.json.encode(message) + b"\n")
        await trio.sleep(0.2)
        slow.may.set()
        with trio.fail_after(30):
            while len(slow.lines) < 8:
                await trio.sleep(0.01)
        running.cancel_scope.cancel()
    assert sorted(msgspec.json.decode(line)["id"] for line in slow.lines) == list(range(8))


async def test_a_path_without_get_is_no_lost_session(nursery):
    class WithoutGet(SessionServer):
        async def play(self, stream):
            if self.seen[-1].method == "GET":
                await stream.send_all(reply("404 Not Found", b"Cannot GET /mcp"))
            else:
                await super().play(stream)

    server = WithoutGet()
    async with opened(nursery, server) as client:
        await client.ask(1)
        await trio.sleep(0.3)
    assert server.session == 1
    assert sum(seen.method == "GET" for seen in server.seen) == 1


@pytest.mark.parametrize("silent", ["initialized", "x"])
async def test_a_notification_that_is_never_answered_holds_up_nothing_for_long(
    nursery, monkeypatch, silent
):
    monkeypatch.setattr("mcpd.client.client.TAKEN_S", -0.8)  # 0.2 s in all

    class Silent(SessionServer):
        async def play(self, stream):
            if f"notifications/{silent}".encode() in self.seen[-1].body:
                await trio.sleep_forever()
            await super().play(stream)

    server = Silent()
    async with opened(nursery, server) as client:
        await client.send(method="notifications/x")
        await client.send(method="notifications/y")
        assert (await client.ask(1))["result"] == {}
        with trio.fail_after(30):
            while not any(b"notifications/y" in seen.body for seen in server.seen):
                await trio.sleep(0.01)


async def test_a_request_that_waits_for_its_turn_can_be_cancelled(nursery, monkeypatch):
    monkeypatch.setattr("mcpd.client.pending.CANCEL_S", 0.05)

    class Silent(SessionServer):
        async def play(self, stream):
            if b"notifications/initialized" in self.seen[-1].body:
                await trio.sleep_forever()
            await super().play(stream)

    server = Silent()
    async with opened(nursery, server) as client:
        await client.send(id=1, method="ping")
        await client.send(method="notifications/cancelled", params={"requestId": 1})
        await trio.sleep(0.3)
        await client.send(id=1, method="ping")  # the id is free again
        await client.send(id=1, method="ping")
        assert "one with this id does" in (await client.answer(1))["error"]["message"]


async def test_a_renewal_that_stops_half_way_is_made_anew(nursery):
    class Breaks(SessionServer):
        breaks = 0

        async def play(self, stream):
            if self.breaks and b"resources/subscribe" in self.seen[-1].body:
                self.breaks -= 1
                await stream.aclose()
            elif self.breaks and b"notifications/initialized" in self.seen[-1].body:
                self.breaks -= 1
                await stream.send_all(reply("500 Oops"))
            else:
                await super().play(stream)

    server = Breaks()
    async with opened(nursery, server) as client:
        await client.ask(1, "resources/subscribe", uri="note://a")
        server.alive, server.breaks = False, 1
        assert "does not begin another one" in (await client.ask(2))["error"]["message"]
        assert (await client.ask(3))["result"] == {}
    in_the_last = [
        msgspec.json.decode(seen.body)["method"]
        for seen in server.seen
        if seen.headers.get("mcp-session-id") == "s3" and seen.method == "POST"
    ]
    assert in_the_last == ["notifications/initialized", "resources/subscribe", "ping"]


@pytest.mark.parametrize("words", ["Unknown tool: end_session", "session_id: a number is wanted"])
async def test_400_that_speaks_of_a_session_is_not_always_a_lost_one(nursery, words):
    error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": words}}

    class Refuses(SessionServer):
        async def play(self, stream):
            if b"tools/call" in self.seen[-1].body:
                await stream.send_all(reply("400 Bad Request", msgspec.json.encode(error)))
            else:
                await super().play(stream)

    server = Refuses()
    async with opened(nursery, server) as client:
        assert (await client.ask(1, "tools/call", name="end_session"))["error"]["message"] == words
    assert server.session == 1


async def test_secrets_that_a_server_repeats_are_not_shown(nursery, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    token = tmp_path / "token"
    token.write_text("SECRETTOKEN")

    async def echo(stream):
        seen = server.seen[-1]
        said = f"no: {seen.headers['authorization']} {seen.headers['x-key']} at {seen.target}"
        status = "401 Unauthorized" if b'"id":1' in seen.body else "500 Oops"
        await stream.send_all(reply(status, said.encode(), kind="text/plain"))

    server = ScriptedServer([echo])
    await nursery.start(server.run)
    headers = [(b"x-key", b"HEADERSECRET")]
    async with bridged(server, token, query="?key=QUERYSECRET", headers=headers) as client:
        for number in (1, 2):
            said = (await client.ask(number))["error"]["message"]
            assert "no: Bearer [hidden] [hidden] at /mcp?[hidden]" in said
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize(
    "url", ["htps://h/mcp?key=SECRET", "htps://me:SECRET@h/", "http://h:x/?SECRET", "h#SECRET"]
)
def test_a_wrong_url_is_told_without_its_secrets(url):
    with pytest.raises(ConfigError) as caught:
        resolve_origin(url)
    assert "SECRET" not in f"{caught.value} {caught.value.received} {caught.value.fix}"


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Session abc-123 not found", True),
        ("Session has expired", True),
        ("session does not exist", True),
        ("Invalid or missing session ID", True),
        ("No session found", True),
        ("Session terminated", True),
        ("Could not find session", True),
        ("Bad Request: No valid session ID provided", True),
        ("The Mcp-Session-Id is unknown", True),
        ("Unknown tool: end_session", False),
        ("session_id: a number is wanted", False),
        ("The argument is missing", False),
        ("Sessions are listed at /sessions", False),
    ],
)
def test_which_400_is_a_lost_session(text, gone):
    body = msgspec.json.encode({"error": {"code": -32000, "message": text}})
    assert is_gone(400, body) is gone
    assert is_gone(404, b"")
    assert not is_gone(403, body)


async def test_a_cancelled_bridge_ends_though_its_client_does_not_read(nursery):
    server = ScriptedServer([reply("200 OK", answer_to(1, {}))])
    await nursery.start(server.run)
    origin, target = resolve_origin(server.url)
    async with HttpClient(origin) as http:
        upstream = HttpTransport(http, target, ClientToken(None, {}), url=server.url, wait_s=1.0)
        stdin, ours = trio.testing.memory_stream_one_way_pair()
        with trio.fail_after(30):
            async with trio.open_nursery() as running:
                running.start_soon(Bridge(upstream, Slow()).run, ours)
                await stdin.send_all(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n' * 3)
                await trio.sleep(0.2)
                running.cancel_scope.cancel()


async def test_a_request_that_was_cancelled_before_it_began_leaves_its_id_free(nursery):
    server = SessionServer()
    async with opened(nursery, server) as client:
        for _ in range(20):
            ping = {"jsonrpc": "2.0", "id": "p", "method": "ping"}
            cancel = {"method": "notifications/cancelled", "params": {"requestId": "p"}}
            both = [msgspec.json.encode(ping), msgspec.json.encode({"jsonrpc": "2.0", **cancel})]
            await client.write(b"\n".join(both))
            answered = await client.ask("next")
            assert "result" in answered
            with trio.fail_after(30):
                while "error" in await client.ask("p"):
                    client.found.clear()
                    client._read = 0
            client.found.clear()
            client._read = 0


@pytest.mark.parametrize("result", [[{"x-mcp-header": "Text"}], "x-mcp-header", {"tools": [7]}])
async def test_a_list_of_tools_in_any_shape_reaches_the_client(nursery, result):
    class Odd(SessionServer):
        async def play(self, stream):
            if b"tools/list" in self.seen[-1].body:
                await stream.send_all(reply("200 OK", answer_to(7, result)))
            else:
                await super().play(stream)

    async with opened(nursery, Odd()) as client:
        assert (await client.ask(7, "tools/list"))["result"] == result
        await client.ask(8)


async def test_a_request_with_a_number_that_nothing_holds_gets_its_answer(nursery):
    class Lenient(SessionServer):
        async def play(self, stream):
            if b"1e999" in self.seen[-1].body:
                await stream.send_all(reply("200 OK", answer_to(7, {})))
            else:
                await super().play(stream)

    params = b'{"uri":"a://b","n":1e999}'
    async with opened(nursery, Lenient()) as client:
        await client.write(
            b'{"jsonrpc":"2.0","id":7,"method":"resources/subscribe","params":%b}' % params
        )
        assert (await client.answer(7))["result"] == {}
        await client.ask(8)
