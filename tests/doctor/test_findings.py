"""What the doctor says of servers that are not ours."""

import base64
import re

import pytest

from mcpd.doctor.facts import Facts
from mcpd.doctor.finding import ALL, BRIDGE, CLAUDE, CLAUDE_CODE, CURSOR, REMOTE, VSCODE
from mcpd.doctor.findings import find
from mcpd.doctor.seen import Seen
from tests.doctor.other_server import (
    HELLO,
    Other,
    answering,
    hello,
    refusal,
    result,
)
from tests.scripted_server import chunk, reply, stream_head

METADATA = {"issuer": "https://a", "authorization_endpoint": "https://a/authorize"}
JSON = {"content-type": "application/json"}
PAGE = reply("404 Not Found", b"<h1>nothing</h1>", kind="text/html")


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
        "server/discover": answering({"supportedVersions": ["2026-07-28"], "capabilities": {}}),
    }
    _, findings = await seen_of(Other(answers))
    assert failing(findings) == {CURSOR, VSCODE}  # they know the handshake alone
    assert "speaks 2026-07-28 alone" in texts(findings)
    assert "--no-handshake" not in texts(findings)  # that is ours
    (one,) = [finding for finding in findings if "alone" in finding.text and finding.limited]
    assert REMOTE in one.limited  # it has to be told


async def test_a_token_that_lacks_a_scope_is_not_a_matter_of_the_host(seen_of):
    challenge = 'Bearer error="insufficient_scope", scope="execute:mcp"'
    answer = reply("403 Forbidden", b'{"error":"no"}', www_authenticate=challenge)
    _, findings = await seen_of(Other(initialize=answer))
    assert "The token does not allow it" in texts(findings)
    assert "needs the scope execute:mcp" in texts(findings)
    assert "mcpd token create" not in texts(findings)  # that is for ours
    assert "proxy_set_header" not in texts(findings)


@pytest.mark.parametrize(
    ("status", "target", "fail"),
    [
        ("307 Temporary Redirect", "/elsewhere", {CLAUDE_CODE, CURSOR}),
        ("307 Temporary Redirect", "https://h.example/x", set(ALL) - {VSCODE}),
        ("302 Found", "/elsewhere", set(ALL)),
    ],
)
async def test_a_redirect_is_told_with_its_target(seen_of, status, target, fail):
    _, findings = await seen_of(Other(initialize=reply(status, location=f"{target}?secret=1")))
    assert failing(findings) == fail - {CLAUDE}
    assert target in texts(findings)
    assert "secret" not in texts(findings)


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        (reply("405 Method Not Allowed"), set()),
        (reply("404 Not Found", b"<h1>no</h1>"), set()),
        (reply("400 Bad Request", b"no session"), {REMOTE}),
        (reply("400 Bad Request", refusal(-32600, "sessionId is missing")), {REMOTE, BRIDGE}),
    ],
)
async def test_an_endpoint_of_http_sse(seen_of, refused, told):
    answers = {
        "initialize": refused,
        "GET /mcp": stream_head() + chunk(b"event: endpoint\ndata: /post\n\n"),
    }
    _, findings = await seen_of(Other(answers))
    assert failing(findings) == set()
    (one,) = [finding for finding in findings if "HTTP+SSE" in finding.text]
    assert {BRIDGE, CURSOR, VSCODE, REMOTE} & set(one.limited) == told


async def test_a_refusal_with_400_that_is_no_http_sse(seen_of):
    _, findings = await seen_of(Other(initialize=reply("400 Bad Request", b"no")))
    assert failing(findings) == set(ALL) - {CLAUDE}
    assert "initialize is answered 400: no" in texts(findings)


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
    hello = Seen(200, JSON, result(HELLO).decode(), request_id=0)
    facts = Facts(url, True, hello, Seen(202), anonymous=Seen(anonymous, {"www-authenticate": "B"}))
    of_claude = [finding for finding in find(facts, 0.0) if CLAUDE in finding.fails]
    assert (said in texts(of_claude)) if said else not of_claude


def test_a_notification_that_was_not_answered_in_time():
    hello = Seen(200, JSON, result(HELLO).decode(), request_id=0)
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


# --- what is no matter ------------------------------------------------------------------------


async def test_the_modern_probe_says_who_asks(seen_of):
    """A server that wants clientInfo answers 400 without it, and the era is missed."""

    def strict(message):
        known = "io.modelcontextprotocol/clientInfo" in message["params"]["_meta"]
        modern = result({"supportedVersions": ["2026-07-28"], "capabilities": {}}, message["id"])
        return reply("200 OK", modern) if known else reply("400 Bad Request", refusal(-32602, "no"))

    facts, _ = await seen_of(Other({"server/discover": strict}))
    assert facts.speaks_modern


async def test_pages_at_paths_that_are_looked_at_after_a_refusal_alone(seen_of):
    server = Other({"GET /.well-known/oauth-authorization-server": PAGE})
    _, findings = await seen_of(server)
    assert "without JSON" not in texts(findings)  # no client is asked for a login

    answers = {"initialize": reply("401 Unauthorized", b"{}", www_authenticate="Bearer")}
    server = Other({**server.answers, **answers})
    _, findings = await seen_of(server)
    assert "answered 404 without JSON" in texts(findings)


async def test_no_other_url_than_the_given_one_is_asked_for(seen_of):
    server = Other()
    await seen_of(server)
    assert not any(seen.target.startswith("/mcp/") for seen in server.scripted.seen)


@pytest.mark.parametrize(
    ("answer", "limited"),
    [
        (reply("400 Bad Request", b"no"), {CLAUDE_CODE, BRIDGE}),
        (reply("400 Bad Request", b"Session not found"), {CLAUDE_CODE}),  # the bridge reads that
        (reply("404 Not Found"), None),
    ],
)
async def test_an_ended_session_matters_to_clients_that_begin_again(seen_of, answer, limited):
    begun = reply("200 OK", result(HELLO), mcp_session_id="s")
    _, findings = await seen_of(
        Other(initialize=begun, ping=answer, DELETE=reply("204 No Content"))
    )
    found = [set(finding.limited) for finding in findings if "session that is over" in finding.text]
    assert found == ([limited] if limited else [])


async def test_there_is_no_advice_for_a_proxy_where_none_shows_itself(seen_of):
    async def nothing(stream):
        pass  # the head of the stream does not come

    _, findings = await seen_of(Other({"GET /mcp": nothing}))
    assert "Events are held back" in texts(findings)
    assert "nginx" not in texts(findings)
    assert failing(findings) == set()  # no client waits for it

    away = reply("503 Service Unavailable", b"no")
    _, findings = await seen_of(Other(initialize=away))
    assert "proxy" not in texts(findings)
    _, findings = await seen_of(Other(initialize=reply("502 Bad Gateway", b"", server="nginx")))
    assert "the proxy's" in texts(findings)


@pytest.mark.parametrize(("status", "fails"), [("400", {CURSOR}), ("404", {CURSOR, CLAUDE_CODE})])
async def test_a_refused_stream_is_held_against_those_who_mind(seen_of, status, fails):
    _, findings = await seen_of(Other({"GET /mcp": reply(f"{status} No")}))
    assert failing(findings) == fails


async def test_the_version_that_was_not_asked_for_is_told_so(seen_of):
    from mcpd.cli.doctor import as_text

    facts, findings = await seen_of(Other(initialize=hello(protocolVersion="2025-03-26")))
    assert "speaks 2025-03-26 (asked for 2025-11-25)" in as_text(facts, findings)
    facts, findings = await seen_of(Other())
    assert "(asked for that" in as_text(facts, findings)


async def test_what_a_server_says_cannot_steer_a_terminal_or_repeat_the_token(seen_of):
    from mcpd.cli.doctor import as_text, shown

    said = refusal(-1, "\x1b[2J secret-token")
    facts, findings = await seen_of(Other(initialize=reply("400 No", said)), token="secret-token")
    text = shown(as_text(facts, findings), "secret-token")
    assert "[hidden]" in text
    assert not re.search(r"secret-token|\x1b", text)


def test_what_was_not_asked_is_not_held_against_the_server():
    hello = Seen(200, JSON, result(HELLO).decode(), request_id=0)
    facts = Facts("https://h.example/mcp", False, hello, cut_short="180 s were over")
    findings = find(facts, 0.0)
    assert "Not everything was asked: 180 s were over" in texts(findings)
    assert not any(finding.fails or finding.limited for finding in findings)


@pytest.mark.parametrize("claims", [b"[" * 5000, b'{"a":' * 5000, b"7", b"\xff"])
async def test_a_refused_token_whose_claims_cannot_be_read_is_a_finding(seen_of, claims):
    token = f"a.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c"
    refused = Other(initialize=reply("401 No", www_authenticate='Bearer error="invalid_token"'))
    _, findings = await seen_of(refused, token=token)
    assert "The server refuses the token" in texts(findings)
