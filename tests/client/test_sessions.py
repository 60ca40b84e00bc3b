"""Sessions that a server loses, streams that it leaves open, tokens that change under way."""

import msgspec
import pytest
import trio

from tests.bridged import bridged
from tests.scripted_client import HELLO
from tests.scripted_server import (
    ScriptedServer,
    SessionServer,
    answer_to,
    chunk,
    reply,
    stream_head,
)


@pytest.fixture
async def started(nursery):
    async def start(server):
        await nursery.start(server.scripted.run)
        return server.scripted

    return start


async def test_capabilities_that_are_odd_do_not_stop_the_handshake(started):
    server = SessionServer(capabilities=b'{"logging":null,"tools":{"listChanged":true}}')
    async with bridged(await started(server)) as client:
        await client.open()
        assert (await client.ask(1))["result"] == {}
    (sent,) = [seen for seen in server.seen if b"notifications/initialized" in seen.body]
    assert sent.headers["mcp-protocol-version"] == "2025-11-25"


@pytest.mark.parametrize("broken", [reply("500 Oops"), reply("200 OK", b"{}")])
async def test_a_renewal_that_fails_is_tried_again_by_the_next_request(started, broken):
    server = SessionServer(broken)
    async with bridged(await started(server)) as client:
        await client.open()
        assert (await client.ask(1))["result"] == {}
        server.alive = False
        assert "does not begin another one" in (await client.ask(2))["error"]["message"]
        assert (await client.ask(3))["result"] == {}


async def test_a_renewal_whose_stream_stays_open_is_done_with_its_answer(started):
    async def open_ended(stream):
        asked = msgspec.json.decode(server.seen[-1].body)["id"]
        event = b"data: " + answer_to(asked, {"protocolVersion": "2025-11-25"}) + b"\n\n"
        session = b"\r\nmcp-session-id: " + server.begin().encode() + b"\r\n\r\n"
        await stream.send_all(stream_head().replace(b"\r\n\r\n", session) + chunk(event))
        await trio.sleep_forever()

    server = SessionServer(open_ended)
    async with bridged(await started(server)) as client:
        await client.open()
        server.alive = False
        assert (await client.ask(1))["result"] == {}


async def test_a_renewal_that_is_never_answered_has_a_bound(started, monkeypatch):
    monkeypatch.setattr("mcpd.client.session.RENEW_S", 0.2)

    async def silent(stream):
        await trio.sleep_forever()

    server = SessionServer(silent)
    async with bridged(await started(server)) as client:
        await client.open()
        server.alive = False
        assert "does not begin another one" in (await client.ask(1))["error"]["message"]
        assert (await client.ask(2))["result"] == {}


async def test_over_http_sse_the_server_hears_that_the_handshake_is_done(nursery):
    """Servers that insist on it refuse everything else."""
    send, receive = trio.open_memory_channel(10)

    async def play(stream):
        seen = server.seen[-1]
        if seen.method == "GET":
            await stream.send_all(stream_head() + chunk(b"event: endpoint\ndata: /post\n\n"))
            async for message in receive:
                await stream.send_all(chunk(b"data: " + message + b"\n\n"))
        elif seen.target == "/mcp":
            await stream.send_all(reply("405 Method Not Allowed"))
        else:
            message = msgspec.json.decode(seen.body)
            if "id" in message:
                result = {"protocolVersion": "2024-11-05", "capabilities": {}}
                await send.send(answer_to(message["id"], result))
            await stream.send_all(reply("202 Accepted"))

    server = ScriptedServer([play])
    await nursery.start(server.run)
    async with bridged(server) as client:
        await client.open()
        await client.ask(1)
    posted = [msgspec.json.decode(seen.body)["method"] for seen in server.seen[2:]]
    assert posted == ["initialize", "notifications/initialized", "ping"]


async def test_a_stream_that_stays_open_after_its_answer_is_left(nursery, monkeypatch):
    monkeypatch.setattr("mcpd.bridge.relay.MAX_AT_ONCE", 3)
    monkeypatch.setattr("mcpd.client.pending.LINGER_S", 0.05)
    closed = []

    async def open_ended(stream):
        asked = msgspec.json.decode(server.seen[-1].body)["id"]
        await stream.send_all(stream_head() + chunk(b"data: " + answer_to(asked, {}) + b"\n\n"))
        closed.append(await stream.receive_some(1))

    server = ScriptedServer([open_ended])
    await nursery.start(server.run)
    async with bridged(server) as client:
        for number in range(10):
            assert (await client.ask(number))["result"] == {}
            await trio.sleep(0.03)
        with trio.fail_after(30):
            while len(closed) < 10:
                await trio.sleep(0.01)


async def test_a_token_that_is_replaced_under_many_requests(nursery, tmp_path):
    file = tmp_path / "token"
    file.write_text("old")
    refused, all_there = [], trio.Event()

    async def play(stream):
        seen = server.seen[-1]
        asked = msgspec.json.decode(seen.body)["id"]
        if seen.headers["authorization"] == "Bearer new":
            await stream.send_all(reply("200 OK", answer_to(asked, {})))
            return
        refused.append(asked)
        if len(refused) == 4:
            file.write_text("new")
            all_there.set()
        await all_there.wait()
        await stream.send_all(reply("401 Unauthorized"))

    server = ScriptedServer([play])
    await nursery.start(server.run)
    async with bridged(server, token=file) as client:
        for number in range(4):
            await client.send(id=number, method="ping")
        for number in range(4):
            assert (await client.answer(number)).get("result") == {}
    assert sorted(refused) == [0, 1, 2, 3]


async def test_notifications_keep_their_order_and_wait_for_the_handshake(nursery):
    async def play(stream):
        seen = server.seen[-1]
        if seen.method == "GET":
            await stream.send_all(reply("405 Method Not Allowed"))
            return
        message = msgspec.json.decode(seen.body)
        if "id" in message:
            await trio.sleep(0.1)
            result = {"protocolVersion": "2025-11-25", "capabilities": {}}
            await stream.send_all(reply("200 OK", answer_to(message["id"], result)))
        else:  # the first ones take longest: on connections of their own they would come last
            await trio.sleep(0.03 if message["params"].get("number", 9) < 5 else 0)
            await stream.send_all(reply("202 Accepted"))

    server = ScriptedServer([play])
    await nursery.start(server.run)
    async with bridged(server) as client:
        await client.send(**HELLO)
        await client.send(method="notifications/initialized", params={})
        for number in range(15):
            await client.send(method="notifications/x", params={"number": number})
        await client.answer("hello")
        with trio.fail_after(30):
            while sum(b"notifications/x" in seen.body for seen in server.seen) < 15:
                await trio.sleep(0.01)
    posted = [msgspec.json.decode(seen.body) for seen in server.seen if seen.method == "POST"]
    assert [one["method"] for one in posted[:2]] == ["initialize", "notifications/initialized"]
    numbers = [one["params"]["number"] for one in posted if one["method"] == "notifications/x"]
    assert numbers == list(range(15))


async def test_cancelling_one_of_a_batch_leaves_the_other(nursery, monkeypatch):
    monkeypatch.setattr("mcpd.client.pending.CANCEL_S", 0.1)
    go_on = trio.Event()

    async def play(stream):
        if b"cancelled" in server.seen[-1].body:
            await stream.send_all(reply("202 Accepted"))
            go_on.set()
            return
        await go_on.wait()
        await trio.sleep(0.4)
        await stream.send_all(reply("200 OK", b"[" + answer_to("b", {"n": 1}) + b"]"))

    server = ScriptedServer([play])
    await nursery.start(server.run)
    async with bridged(server) as client:
        batch = [{"jsonrpc": "2.0", "id": name, "method": "ping"} for name in "ab"]
        await client.stdin.send_all(msgspec.json.encode(batch) + b"\n")
        await trio.sleep(0.1)
        await client.send(method="notifications/cancelled", params={"requestId": "a"})
        assert (await client.answer("b"))["result"] == {"n": 1}


async def test_the_rest_of_a_batch_that_is_refused_gets_an_error(nursery):
    refusal = b'{"jsonrpc":"2.0","id":"a","error":{"code":-1,"message":"no"}}'
    server = ScriptedServer([reply("400 Bad Request", refusal)])
    await nursery.start(server.run)
    async with bridged(server) as client:
        batch = [{"jsonrpc": "2.0", "id": name, "method": "ping"} for name in "ab"]
        await client.stdin.send_all(msgspec.json.encode(batch) + b"\n")
        assert (await client.answer("a"))["error"]["code"] == -1
        assert "error" in await client.answer("b")


async def test_retry_after_zero_is_no_invitation_to_hurry(nursery):
    server = ScriptedServer([reply("429 Too Many Requests", retry_after="0")])
    await nursery.start(server.run)
    async with bridged(server) as client:
        assert "429" in (await client.ask(1))["error"]["message"]
    assert len(server.seen) < 10


async def test_a_stream_that_only_ever_begins_is_given_up(nursery, monkeypatch):
    monkeypatch.setattr("mcpd.client.exchange.RETRY_S", 0.01)

    async def play(stream):
        event = b'data: {"jsonrpc":"2.0","method":"notifications/x"}\n\n'
        await stream.send_all(stream_head() + chunk(event) + b"0\r\n\r\n")

    server = ScriptedServer([play])
    await nursery.start(server.run)
    async with bridged(server) as client:
        assert "ended before the answer" in (await client.ask(1))["error"]["message"]
    assert len(server.seen) < 10
