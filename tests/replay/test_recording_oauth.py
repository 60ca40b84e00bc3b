"""A login with OAuth is recorded: the client finds the proxy wherever the server names itself."""

import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import trio

from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin
from mcpd.replay.player import Player
from mcpd.replay.recorder import Recorder
from mcpd.replay.rewriting import Rewriter
from mcpd.replay.transcript import read
from tests.end_to_end.daemon import need
from tests.peer import Peer
from tests.scripted_server import ScriptedServer, chunk, reply, stream_head

ROOT = Path(__file__).parents[2]
CODE, TOKEN = "c0de-of-the-server-1", "t0ken-of-the-server-1"
CLIENT = """
import asyncio, os, httpx
from urllib.parse import parse_qs, urlsplit
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

class Storage:
    tokens = info = None
    async def get_tokens(self): return self.tokens
    async def set_tokens(self, tokens): self.tokens = tokens
    async def get_client_info(self): return self.info
    async def set_client_info(self, info): self.info = info

answer = {}

async def redirect(url):
    async with httpx.AsyncClient() as http:
        answer.update(parse_qs(urlsplit((await http.get(url)).headers["location"]).query))

async def callback():
    return answer["code"][0], answer["state"][0]

async def main():
    metadata = OAuthClientMetadata(client_name="x", redirect_uris=["http://localhost:3030/callback"])
    url = os.environ["MCP_URL"]
    auth = OAuthClientProvider(url, metadata, Storage(), redirect, callback)
    async with httpx.AsyncClient(auth=auth) as http:
        async with streamable_http_client(url, http_client=http) as (r, w, _):
            async with ClientSession(r, w) as session:
                await session.initialize()
                assert (await session.call_tool("x")).content[0].text == "done"

asyncio.run(main())
"""


class LoginServer:
    """A resource and its authorization server in one, which knows itself by its own URL alone."""

    def __init__(self):
        self.scripted = ScriptedServer([self.play])
        self.refused = []

    @property
    def base(self):
        return f"http://127.0.0.1:{self.scripted.port}"

    async def play(self, stream):
        seen = self.scripted.seen[-1]
        path = urlsplit(seen.target).path
        if path.startswith("/.well-known/oauth-protected-resource"):
            await self.say(stream, {"resource": f"{self.base}/mcp",
                                    "authorization_servers": [self.base]})  # fmt: skip
        elif path == "/.well-known/oauth-authorization-server":
            await self.say(stream, {
                "issuer": self.base, "response_types_supported": ["code"],
                "authorization_endpoint": f"{self.base}/authorize",
                "token_endpoint": f"{self.base}/token",
                "registration_endpoint": f"{self.base}/register",
                "code_challenge_methods_supported": ["S256"],
            })  # fmt: skip
        elif path == "/register":
            await self.say(stream, {"client_id": "client-of-this-server",
                                    **json.loads(seen.body)}, "201 Created")  # fmt: skip
        elif path == "/authorize":
            await self.authorize(stream, parse_qs(urlsplit(seen.target).query))
        elif path == "/token":
            await self.token(stream, parse_qs(seen.body.decode()))
        elif path == "/mcp":
            await self.mcp(stream, seen)
        else:
            await stream.send_all(reply("404 Not Found"))

    async def say(self, stream, body, status="200 OK"):
        await stream.send_all(reply(status, json.dumps(body).encode()))

    async def authorize(self, stream, query):
        if query["resource"] != [f"{self.base}/mcp"]:
            self.refused.append(query)
        there = f"{query['redirect_uri'][0]}?code={CODE}&state={quote(query['state'][0])}"
        there += f"&iss={quote(self.base, safe='')}"
        await stream.send_all(reply("302 Found", location=there))

    async def token(self, stream, form):
        if form.get("code") != [CODE] or form.get("resource") != [f"{self.base}/mcp"]:
            self.refused.append(form)
            await self.say(stream, {"error": "invalid_grant"}, "400 Bad Request")
            return
        await self.say(stream, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})

    async def mcp(self, stream, seen):
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            metadata = f"{self.base}/.well-known/oauth-protected-resource/mcp"
            challenge = f'Bearer resource_metadata="{metadata}"'
            await stream.send_all(reply("401 Unauthorized", www_authenticate=challenge))
            return
        message = json.loads(seen.body) if seen.method == "POST" else {}
        if "id" not in message:
            await stream.send_all(reply("202 Accepted" if message else "405 Method Not Allowed"))
            return
        result = {"content": [{"type": "text", "text": "done"}]}
        if message["method"] == "initialize":
            info = {"name": "x", "version": "1"}
            result = {"protocolVersion": message["params"]["protocolVersion"],
                      "capabilities": {"tools": {}}, "serverInfo": info}  # fmt: skip
        elif message["method"] == "tools/list":
            result = {"tools": []}
        await self.say(stream, {"jsonrpc": "2.0", "id": message["id"], "result": result})


@pytest.mark.slow
async def test_a_real_client_logs_in_through_the_recorder(nursery, tmp_path):
    python = ROOT / ".clients" / "python-1" / "bin" / "python"
    need(python.exists(), "the Python SDK 1.x (run tests/clients/install)")
    server = LoginServer()
    await nursery.start(server.scripted.run)
    (tmp_path / "client.py").write_text(CLIENT)
    done = await trio.run_process(
        [sys.executable, "-m", "mcpd", "record", "--upstream", f"{server.base}/mcp",
         "--out", str(tmp_path), "--client", "sdk", "--scenario", "login",
         "--", str(python), str(tmp_path / "client.py")],
        capture_stdout=True, capture_stderr=True, check=False,
        env={n: v for n, v in os.environ.items() if n != "MCPD_TOKEN"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert server.refused == []
    text = (tmp_path / "sdk" / "login.txt").read_text()
    for secret in (CODE, TOKEN, "client-of-this-server", str(server.scripted.port)):
        assert secret not in text
    assert '"resource": "<base>/mcp"' in text
    assert 'resource_metadata="<base>/.well-known/oauth-protected-resource/mcp"' in text
    for path in ("register", "authorize", "token"):
        assert re.search(rf"^> \d+(?: \w+)? (GET|POST) /{path}", text, re.MULTILINE)
    origin, path = resolve_origin(f"{server.base}/mcp")
    outcome = await Player(origin, path, TOKEN).play(read(text, "sdk/login"), limit_s=60)
    assert outcome.passed, outcome.mismatch


@pytest.mark.parametrize(
    "spelling", ["http://127.0.0.1:{}", "http://localhost:{}", "HTTP://LOCALHOST:{}"]
)
async def test_an_http_sse_endpoint_that_is_a_url_leads_to_the_proxy(nursery, spelling):
    async def name(stream):
        there = f"{spelling.format(server.port)}/messages?session_id=1".encode()
        await stream.send_all(stream_head() + chunk(b"event: endpoint\ndata: " + there + b"\n\n"))
        await trio.sleep_forever()

    server = await nursery.start(ScriptedServer([name]).run)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    proxy = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    origin, _ = resolve_origin(server.url)
    async with HttpClient(origin) as client:
        recorder = Recorder(client, Rewriter(f"http://127.0.0.1:{server.port}", proxy))
        nursery.start_soon(recorder.serve, [listener])
        async with await trio.open_tcp_stream(*listener.socket.getsockname()) as stream:
            await stream.send_all(b"GET /sse HTTP/1.1\r\nhost: x\r\n\r\n")
            got = b""
            with trio.fail_after(30):
                while b"session_id" not in got:
                    got += await stream.receive_some()
    assert f"data: {proxy}/messages?session_id=1".encode() in got


async def test_messages_and_bodies_of_another_kind_are_passed_on_as_they_are(nursery):
    said = []

    async def say(stream):
        text = f"see http://127.0.0.1:{server.port}/x"
        message = {"jsonrpc": "2.0", "id": 1, "result": {"text": text}}
        said.append(json.dumps(message).encode())
        await stream.send_all(reply("200 OK", said[0], x_other=text))

    server = await nursery.start(ScriptedServer([say]).run)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    origin, _ = resolve_origin(server.url)
    async with HttpClient(origin) as client:
        rewriter = Rewriter(f"http://127.0.0.1:{server.port}", "http://127.0.0.1:1")
        nursery.start_soon(Recorder(client, rewriter).serve, [listener])
        async with await trio.open_tcp_stream(*listener.socket.getsockname()) as stream:
            answer = await Peer(stream).request(
                "GET", "/mcp", headers=[("accept-encoding", "gzip")]
            )
    assert answer.body == said[0]
    assert "accept-encoding" not in server.seen[0].headers  # what is compressed cannot be read


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("http://h.example", "P"),
        ("http://h.example/x?y", "P/x?y"),
        ("http://h.example:80/x", "P/x"),
        ("HTTP://H.EXAMPLE/x", "P/x"),
        ('"http:\\/\\/h.example\\/x"', '"P\\/x"'),
        ("iss=http%3A%2F%2Fh.example%2Fx&a", "iss=http%3A%2F%2Fproxy%3A9%2Fx&a"),
        ("iss=http%3a%2f%2fh.example", "iss=http%3A%2F%2Fproxy%3A9"),
        ("See http://h.example.", "See P."),
        ("http://h.example:8080/x", None),
        ("http://h.example.evil/x", None),
        ("http://h.example@evil/x", None),
        ("http://h.example-evil/x", None),
        ("https://h.example/x", None),
        ("http%3A%2F%2Fh.example%3A8080", None),
        ("http%3A%2F%2Fh.example.evil", None),
    ],
)
def test_an_origin_ends_where_it_ends(said, shown):
    rewriter = Rewriter("http://h.example", "http://proxy:9")
    assert rewriter.to_client(said) == (
        said if shown is None else shown.replace("P", "http://proxy:9")
    )


def test_the_way_back():
    rewriter = Rewriter("http://127.0.0.1:80", "http://127.0.0.1:9")
    assert rewriter.to_server("resource=http%3A%2F%2F127.0.0.1%3A9%2Fmcp") == (
        "resource=http%3A%2F%2F127.0.0.1%3A80%2Fmcp"
    )
    assert rewriter.to_server("http://127.0.0.1:99/") == "http://127.0.0.1:99/"
