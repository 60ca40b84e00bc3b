"""What the doctor says of servers that are not ours."""

import msgspec
import pytest
import trio

from mcpd.doctor.finding import ALL, BRIDGE, CLAUDE, CURSOR, REMOTE, VSCODE
from mcpd.doctor.findings import find
from mcpd.doctor.probes import Doctor, Facts, Seen
from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin
from tests.scripted_server import ScriptedServer, chunk, reply, stream_head

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x"}}
METADATA = {"issuer": "https://a", "authorization_endpoint": "https://a/authorize"}


class Other:
    """A server without tokens and OAuth that does what one wants of it, in ``answers``: bytes by
    method, or by HTTP method and path.
    """

    def __init__(self, **answers):
        self.answers = answers
        self.scripted = ScriptedServer([self.play])

    async def play(self, stream):
        seen = self.scripted.seen[-1]
        path = seen.target.strip("/").replace("/", "_").replace("-", "_").replace(".", "")
        message = msgspec.json.decode(seen.body) if seen.body else {}
        answer = self.answers.get(f"{seen.method}_{path}") or self.usual(seen, message)
        for name in (seen.method, message.get("method", "").rpartition("/")[2]):
            answer = self.answers.get(name, answer)
        await stream.send_all(answer)

    def usual(self, seen, message):
        if not seen.target.startswith("/mcp"):
            return reply("404 Not Found", b"{}")
        if seen.method != "POST":
            return reply("405 Method Not Allowed")
        if message["method"] == "initialize":
            return reply("200 OK", result(HELLO), mcp_session_id="s")
        if "id" not in message:
            return reply("202 Accepted")
        return reply("200 OK", refusal(-32601, "Method not found"))


def result(value):
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 0, "result": value})


def refusal(code, message):
    error = {"code": code, "message": message}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 0, "error": error})


@pytest.fixture
async def seen_of(nursery):
    async def ask(server, path="/mcp"):
        await nursery.start(server.scripted.run)
        url = server.scripted.url.replace("/mcp", path)
        origin, target = resolve_origin(url)
        async with HttpClient(origin) as client:
            with trio.fail_after(30):
                facts = await Doctor(client, url, target, "").ask()
        return facts, find(facts, 0.0)

    return ask


def failing(findings):
    return {client for finding in findings for client in finding.fails} - {CLAUDE}


def texts(findings):
    return " ".join(f"{finding.text} {finding.fix}" for finding in findings)


async def test_a_server_of_the_handshake_era_holds_nothing_back(seen_of):
    """-32601 with 200 is how many answer what they do not know."""
    server = Other()
    facts, findings = await seen_of(server)
    assert failing(findings) == set()
    assert not facts.speaks_modern
    assert "held back" not in texts(findings)
    assert "A session that is over" not in texts(findings)  # it was not: DELETE is 405
    assert not any(seen.target == "/register" for seen in server.scripted.seen)


async def test_a_session_that_is_over_and_is_served_all_the_same(seen_of):
    _, findings = await seen_of(Other(DELETE=reply("200 OK")))
    assert "A session that is over is answered 200" in texts(findings)


@pytest.mark.parametrize(
    "answer",
    [
        reply("200 OK", b"<h1>Hello</h1>", kind="text/html"),
        reply("200 OK", refusal(-32602, "Unsupported protocol version")),
    ],
)
async def test_initialize_that_failed_with_200(seen_of, answer):
    _, findings = await seen_of(Other(initialize=answer))
    assert failing(findings) == set(ALL) - {CLAUDE}
    assert "names no protocol version" in texts(findings)


async def test_a_server_of_the_modern_era_alone(seen_of):
    answers = {
        "initialize": reply("400 Bad Request", refusal(-32022, "Unsupported")),
        "discover": reply("200 OK", result({"supportedVersions": ["2026-07-28"]})),
    }
    _, findings = await seen_of(Other(**answers))
    assert failing(findings) == {CURSOR, VSCODE, REMOTE}  # they know the handshake alone
    assert "speaks 2026-07-28 alone" in texts(findings)


async def test_a_token_that_lacks_a_scope_is_not_a_matter_of_the_host(seen_of):
    challenge = 'Bearer error="insufficient_scope", scope="execute:mcp"'
    answer = reply("403 Forbidden", b'{"error":"no"}', www_authenticate=challenge)
    _, findings = await seen_of(Other(initialize=answer))
    assert "The token does not allow it" in texts(findings)
    assert "--scope execute:mcp" in texts(findings)
    assert "proxy_set_header" not in texts(findings)


@pytest.mark.parametrize(
    ("status", "fail"), [("307 Temporary Redirect", {BRIDGE, CURSOR}), ("302 Found", set(ALL))]
)
async def test_a_redirect_is_told_with_its_target(seen_of, status, fail):
    _, findings = await seen_of(Other(initialize=reply(status, location="/elsewhere")))
    assert fail - {CLAUDE} <= failing(findings)
    assert "/elsewhere" in texts(findings)


async def test_an_endpoint_of_http_sse(seen_of):
    answers = {
        "initialize": reply("405 Method Not Allowed"),
        "GET_mcp": stream_head() + chunk(b"event: endpoint\ndata: /post\n\n"),
    }
    _, findings = await seen_of(Other(**answers))
    assert failing(findings) == set()
    (one,) = [finding for finding in findings if "HTTP+SSE" in finding.text]
    assert not {BRIDGE, CURSOR, VSCODE} & set(one.limited)


@pytest.mark.parametrize(
    ("more", "said"),
    [({}, True), ({"registration_endpoint": "https://a/reg"}, False),
     ({"client_id_metadata_document_supported": True}, False)],
)  # fmt: skip
async def test_whether_clients_can_register_is_read_from_the_metadata(seen_of, more, said):
    answer = reply("200 OK", msgspec.json.encode({**METADATA, **more}))
    _, findings = await seen_of(Other(GET_well_known_oauth_authorization_server=answer))
    assert ("names no way to register" in texts(findings)) is said


@pytest.mark.parametrize(
    ("url", "anonymous", "said"),
    [
        ("https://mcp.example.com/mcp", 200, ""),
        ("http://mcp.example.com/mcp", 200, "https:// alone"),
        ("https://mcp.example.com/mcp", 401, "claude.ai cannot be given one"),
        ("https://10.0.0.1/mcp", 200, "this machine or network alone"),
    ],
)
def test_who_comes_from_the_internet(url, anonymous, said):
    hello = Seen(200, {}, result(HELLO).decode())
    facts = Facts(url, True, hello, Seen(202), anonymous=Seen(anonymous, {"www-authenticate": "B"}))
    of_claude = [finding for finding in find(facts, 0.0) if CLAUDE in finding.fails]
    assert (said in texts(of_claude)) if said else not of_claude


def test_a_notification_that_was_not_answered_in_time():
    hello = Seen(200, {}, result(HELLO).decode())
    facts = Facts("https://h.example/mcp", False, hello, Seen(error="no answer within 6 s"))
    assert "not taken: no answer within 6 s" in texts(find(facts, 0.0))


def test_http_behind_https_is_told():
    facts = Facts("https://h/mcp", False, Seen(error="TLS failed: WRONG_VERSION_NUMBER"))
    assert "write http://" in texts(find(facts, 0.0))


async def test_what_is_no_mcp_server_is_told_so(seen_of):
    page = b"<!DOCTYPE HTML><html><h1>Error  response</h1>\n<p>Unsupported method</html>"
    answer = reply("501 Unsupported", page, kind="text/html")
    _, findings = await seen_of(Other(initialize=answer))
    assert "501: Error response Unsupported method" in texts(findings)
    assert "Is the URL that of an MCP endpoint?" in texts(findings)


async def test_the_version_that_was_agreed_on_is_the_one_that_is_sent(seen_of):
    old = reply("200 OK", result({**HELLO, "protocolVersion": "2025-06-18"}), mcp_session_id="s")
    server = Other(initialize=old)
    await seen_of(server)
    sent = {
        seen.headers["mcp-protocol-version"]
        for seen in server.scripted.seen
        if "mcp-session-id" in seen.headers and "mcp-protocol-version" in seen.headers
    }
    assert sent == {"2025-06-18"}
