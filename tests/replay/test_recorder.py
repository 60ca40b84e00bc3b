"""The recording proxy, when a client or a server is not as it should be."""

from contextlib import suppress

import pytest
import trio

from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin
from mcpd.replay import recorder as recording
from mcpd.replay.recorder import Recorder
from tests.peer import Peer
from tests.scripted_server import ScriptedServer, chunk, reply, stream_head


@pytest.fixture
async def recorded(nursery):
    clients = []

    async def record(*answers):
        server = ScriptedServer(list(answers))
        await nursery.start(server.run)
        origin, _ = resolve_origin(server.url)
        clients.append(HttpClient(origin))
        recorder = Recorder(clients[-1])
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(recorder.serve, [listener])
        port = listener.socket.getsockname()[1]

        async def connect():
            return await trio.open_tcp_stream("127.0.0.1", port)

        return recorder, connect

    yield record
    for client in clients:
        await client.aclose()


async def goes_on(connect):
    """The recorder serves others."""
    async with await connect() as stream:
        return (await Peer(stream).request("GET", "/")).status == 200


async def test_a_client_that_does_not_read_ends_its_connection_alone(recorded, monkeypatch):
    monkeypatch.setattr(recording, "WRITE_S", 0.2)

    async def much(stream):
        with suppress(trio.BrokenResourceError):
            await stream.send_all(stream_head())
            for _ in range(1000):
                await stream.send_all(chunk(b": " + b"x" * 100_000 + b"\n\n"))

    recorder, connect = await recorded(much, reply("200 OK", b"{}"))
    async with await connect() as slow:
        await slow.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await trio.sleep(0.6)
        assert await goes_on(connect)
    assert recorder.seen


async def test_an_answer_that_is_too_large_ends_its_connection_alone(recorded, monkeypatch):
    monkeypatch.setattr(recording, "MAX_BODY_BYTES", 1000)
    recorder, connect = await recorded(reply("200 OK", b"x" * 5000), reply("200 OK", b"{}"))
    async with await connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert await stream.receive_some() == b""
    assert await goes_on(connect)
    assert [o.kind for o in recorder.seen] == ["request", "request", "response"]


async def test_a_target_that_names_another_server_is_refused_and_not_recorded(recorded):
    recorder, connect = await recorded(reply("200 OK", b"{}"))
    for target in ("http://evil.example/", ".evil.example/", "*"):
        async with await connect() as stream:
            await stream.send_all(f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 400")
    assert recorder.seen == []
    assert await goes_on(connect)
