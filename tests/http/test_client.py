"""The client side of HTTP/1.1, against servers good and bad."""

import ssl
import subprocess

import pytest
import trio

from mcpd.errors import BadRequest, ConfigError, ContentTooLarge
from mcpd.http.client import Broken, HttpClient, NotConnected, retry_after_s
from mcpd.http.messages import Headers
from mcpd.http.origin import resolve_origin
from tests.scripted_server import ScriptedServer, chunk, reply, stream_head

OK = reply("200 OK", b"{}")


async def served(nursery, *answers):
    return await nursery.start(ScriptedServer(list(answers)).run)


@pytest.fixture
async def open_client():
    """Clients that are closed with the test."""
    clients = []

    def open_one(url, **more):
        origin, target = resolve_origin(url, **more)
        clients.append(HttpClient(origin))
        return clients[-1], target

    yield open_one
    for client in clients:
        await client.aclose()


async def get(client, target, method="GET", body=b""):
    response = await client.begin(method, target, [], body)
    async with response:
        return response.status, await response.read(10_000)


async def test_a_connection_is_kept_and_a_closed_one_is_not_used(nursery, open_client):
    server = await served(nursery, OK, OK, reply("200 OK", b"{}", connection="close"), OK)
    client, target = open_client(server.url)
    for _ in range(4):
        assert await get(client, target) == (200, b"{}")
    assert len(client._idle) == 1
    assert [seen.headers["host"] for seen in server.seen] == [f"127.0.0.1:{server.port}"] * 4
    await client.aclose()
    assert client._idle == []


async def test_a_connection_that_the_server_closed_while_it_was_idle(nursery, open_client):
    server = await served(nursery, OK, None, OK)

    async def close_after(stream):
        await stream.send_all(OK)
        await stream.send_eof()

    server.answers[0] = close_after
    client, target = open_client(server.url)
    assert (await get(client, target))[0] == 200
    await trio.sleep(0.05)
    server.answers = [OK]
    assert (await get(client, target))[0] == 200  # on a fresh one, without an error


async def test_requests_at_the_same_time_have_connections_of_their_own(nursery, open_client):
    async def slow(stream):
        await trio.sleep(0.1)
        await stream.send_all(OK)

    server = await served(nursery, slow)
    client, target = open_client(server.url)
    with trio.fail_after(30):
        async with trio.open_nursery() as requests:
            for _ in range(5):
                requests.start_soon(get, client, target)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "closed the connection"),
        (b"nonsense\r\n\r\n", "does not answer in HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "closed the connection"),
    ],
)
async def test_what_is_no_response(nursery, open_client, answer, told):
    async def play(stream):
        if answer is not None:
            await stream.send_all(answer)
        await stream.send_eof()

    server = await served(nursery, play)
    client, target = open_client(server.url)
    with pytest.raises(Broken, match=told):
        await get(client, target, "POST", b"x")


async def test_interim_responses_are_passed_over_and_bodies_have_a_bound(nursery, open_client):
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK
    server = await served(nursery, early, reply("200 OK", b"x" * 20_000))
    client, target = open_client(server.url)
    assert (await get(client, target))[0] == 200
    with pytest.raises(ContentTooLarge):
        await get(client, target)


async def test_pieces_of_a_stream_arrive_as_they_are_sent(nursery, open_client):
    go_on = trio.Event()

    async def play(stream):
        await stream.send_all(stream_head() + chunk(b"one"))
        await go_on.wait()
        await stream.send_all(chunk(b"two") + b"0\r\n\r\n")

    server = await served(nursery, play)
    client, target = open_client(server.url)
    response = await client.begin("GET", target)
    found = []
    async with response:
        assert response.header(b"content-type") == "text/event-stream"
        while piece := await response.receive():
            found.append(piece)
            go_on.set()
    assert found == [b"one", b"two"]


async def test_a_port_without_a_server_is_not_connected(open_client, unused_port):
    client, target = open_client(f"http://127.0.0.1:{unused_port}/mcp")
    with pytest.raises(NotConnected) as caught:
        await client.begin("GET", target)
    assert str(caught.value) == "connection refused"


async def test_a_unix_socket_is_reached(nursery, open_client, tmp_path):
    path = tmp_path / "s"
    sock = trio.socket.socket(trio.socket.AF_UNIX)
    await sock.bind(str(path))
    sock.listen(5)
    server = ScriptedServer([OK])
    nursery.start_soon(trio.serve_listeners, server._serve, [trio.SocketListener(sock)])
    client, target = open_client("http://localhost/mcp", unix=path)
    assert (await get(client, target))[0] == 200
    assert server.seen[0].headers["host"] == "localhost"


async def test_tls_is_checked(nursery, open_client, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key.pem",
         "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = ScriptedServer([OK])
    listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, _tolerant(server), listeners)
    port = listeners[0].transport_listener.socket.getsockname()[1]
    url = f"https://localhost:{port}/mcp"
    client, target = open_client(url, ca_file=tmp_path / "cert.pem")
    assert [(await get(client, target))[0] for _ in range(2)] == [200, 200]
    client, target = open_client(url)
    with pytest.raises(NotConnected, match="certificate is not trusted"):
        await get(client, target)


def _tolerant(server):
    async def serve(stream):
        try:
            await server._serve(stream)
        except (trio.BrokenResourceError, ssl.SSLError):
            return

    return serve


async def test_requests_go_through_a_proxy(nursery, open_client):
    origin = await served(nursery, OK)
    asked = []

    async def tunnel(stream):
        """A proxy that knows CONNECT and absolute targets."""
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some(4096)
        asked.append(head)
        if head.startswith(b"CONNECT"):
            await stream.send_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        else:
            await stream.send_all(OK)

    proxies = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, tunnel, proxies)
    port = proxies[0].socket.getsockname()[1]
    environ = {"HTTP_PROXY": f"http://u:p%40@127.0.0.1:{port}", "https_proxy": f"127.0.0.1:{port}"}
    client, target = open_client("http://mcp.test:81/mcp", environ=environ)
    assert (await get(client, target))[0] == 200
    assert asked[0].startswith(b"GET http://mcp.test:81/mcp HTTP/1.1\r\n")
    assert b"Basic dTpwQA==" in asked[0]
    client, target = open_client("https://mcp.test/mcp", environ=environ)
    with pytest.raises(NotConnected) as caught:
        await get(client, target)
    assert str(caught.value) == "the proxy answers 403 to CONNECT mcp.test:443"
    assert origin.seen == []


@pytest.mark.parametrize("target", [".evil.test/", "@evil.test/", ":9/", "http://evil.test/", ""])
@pytest.mark.parametrize("through_proxy", [True, False])
async def test_a_target_that_is_no_path_is_not_sent(nursery, open_client, target, through_proxy):
    """A proxy would read it as more of the host's name."""
    server = await served(nursery, OK)
    environ = {"HTTP_PROXY": f"http://127.0.0.1:{server.port}"}
    url = "http://mcp.test" if through_proxy else server.url
    client, _ = open_client(url, environ=environ)
    with pytest.raises(BadRequest, match="does not begin with a slash"):
        await get(client, target)
    assert server.seen == []


@pytest.mark.parametrize(
    ("url", "environ", "proxied"),
    [
        ("http://127.0.0.1/mcp", {"HTTP_PROXY": "http://p:1"}, False),
        ("http://a.test/mcp", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "b.test, .test"}, False),
        ("http://a.test/mcp", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "b.test"}, True),
        ("http://a.test/mcp", {"HTTP_PROXY": "http://p:1", "no_proxy": "*"}, False),
        ("https://a.test/mcp", {"HTTP_PROXY": "http://p:1"}, False),
        ("https://a.test/mcp", {"ALL_PROXY": "http://p:1"}, True),
    ],
)
def test_which_requests_go_through_a_proxy(url, environ, proxied):
    origin, _ = resolve_origin(url, environ=environ)
    assert (origin.proxy is not None) is proxied


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://x/", "must begin with http"),
        ("http:///mcp", "name a host"),
        ("http://a:b@x/mcp", "user or a password"),
        ("http://x:99999/", "cannot be read"),
        ("nonsense", "must begin with http"),
    ],
)
def test_a_url_that_cannot_be_used(url, told):
    with pytest.raises(ConfigError, match=told):
        resolve_origin(url)


def test_a_proxy_that_cannot_be_used_is_refused_with_words():
    with pytest.raises(ConfigError, match="HTTPS_PROXY names a proxy of a kind") as caught:
        resolve_origin("https://a.test/mcp", environ={"HTTPS_PROXY": "socks5://u:secret@p:1"})
    assert "secret" not in str(caught.value.received) + caught.value.fix
    with pytest.raises(ConfigError, match="ALL_PROXY names"):
        resolve_origin("https://a.test/mcp", environ={"ALL_PROXY": "socks5://p:1"})


@pytest.mark.parametrize(("value", "seconds"), [(b"7", 7.0), (b"soon", None), (b"-1", None)])
def test_retry_after_is_read_in_seconds(value, seconds):
    assert retry_after_s(Headers([(b"retry-after", value)])) == seconds


async def test_what_cannot_be_sent_is_said_and_leaves_no_connection(nursery, open_client):
    server = await served(nursery, OK)
    client, target = open_client(server.url)
    for headers, where in (
        ([(b"authorization", b"secret\nb")], target),
        ([(b"bad name", b"x")], target),
        ([], "/a b"),
        ([], "/é"),
    ):
        with pytest.raises(BadRequest, match="cannot be sent") as caught:
            await client.begin("GET", where, headers)
        assert "secret" not in caught.value.message
    assert server.seen == []
    assert (await get(client, target))[0] == 200


async def test_a_proxy_that_answers_nonsense(nursery, open_client):
    async def nonsense(stream):
        await stream.receive_some(4096)
        await stream.send_all(b"nonsense\r\n\r\n")

    proxies = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, nonsense, proxies)
    port = proxies[0].socket.getsockname()[1]
    environ = {"HTTPS_PROXY": f"127.0.0.1:{port}"}
    client, target = open_client("https://mcp.test/mcp", environ=environ)
    with pytest.raises(NotConnected, match="proxy"):
        await get(client, target)
