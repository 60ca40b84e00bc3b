"""What the doctor says of servers that want a login: which clients work after it, and what is in
the way. The rules are the clients' own.
"""

import msgspec
import pytest

from mcpd.doctor.discovery import challenged_url, metadata_urls
from mcpd.doctor.finding import (
    ALL,
    BRIDGE,
    CLAUDE,
    CLAUDE_CODE,
    CURSOR,
    INSPECTOR,
    LOGS_IN,
    OF_TYPESCRIPT,
    PYTHON,
    REMOTE,
    TYPESCRIPT,
    VSCODE,
)
from tests.doctor.other_server import Other, document
from tests.doctor.test_findings import PAGE, failing, texts
from tests.scripted_server import reply

AT_PATH = "GET /.well-known/oauth-protected-resource/mcp"
AT_ROOT = "GET /.well-known/oauth-protected-resource"
OF_SERVER = "GET /.well-known/oauth-authorization-server"


class Guarded(Other):
    """A server that wants a login. Documents that name its own origin are made when they are asked
    for, since its port is not known before.
    """

    def __init__(self, answers=None, *, challenge="Bearer", resource=None, **metadata):
        super().__init__(answers)
        self.challenge = challenge
        self.resource = resource
        self.metadata = metadata
        unauthorized = reply("401 Unauthorized", b"{}", www_authenticate=challenge)
        self.answers = {
            "initialize": unauthorized,
            "server/discover": unauthorized,
            AT_PATH: lambda _: document(**self.protected()),
            OF_SERVER: lambda _: document(**self.described()),
            **self.answers,
        }

    def protected(self):
        resource = self.resource or f"{self.origin}/mcp"
        return {"resource": resource, "authorization_servers": [self.origin]}

    def described(self):
        known = {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "registration_endpoint": f"{self.origin}/register",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
        }
        return {k: v for k, v in {**known, **self.metadata}.items() if v is not None}


def after_login(findings):
    """Who works after a login, and nothing hinders."""
    clients = {client for finding in findings for client in finding.login}
    return clients - {client for finding in findings for client in finding.fails} - {CLAUDE}


def limits(findings):
    return {client for finding in findings for client in finding.limited} - {CLAUDE}


async def test_clients_that_register_themselves_work_after_a_login(seen_of):
    _, findings = await seen_of(server := Guarded())
    assert after_login(findings) == set(LOGS_IN) - {CLAUDE}
    assert failing(findings) == {BRIDGE}  # it has no login
    assert f"wants a login (OAuth), at {server.origin} (clients register themselves)" in texts(
        findings
    )
    assert "mcpd token create" not in texts(findings)
    assert not limits(findings)
    asked = {seen.target for seen in server.scripted.seen if seen.method == "POST"}
    assert asked == {"/mcp"}  # nothing was registered


@pytest.mark.parametrize("spelling", [AT_PATH, AT_ROOT])
@pytest.mark.parametrize("other", [PAGE, reply("404 Not Found", b"{}")])
async def test_one_spelling_of_the_resource_document_is_enough(seen_of, spelling, other):
    server = Guarded()
    good = server.answers.pop(AT_PATH)
    server.answers |= {AT_PATH: other, AT_ROOT: other} | {spelling: good}
    _, findings = await seen_of(server)
    assert after_login(findings) == set(LOGS_IN) - {CLAUDE}
    assert not limits(findings)


async def test_a_page_before_the_resource_document_stops_clients(seen_of):
    server = Guarded()
    page = reply("200 OK", b"<h1>hello</h1>", kind="text/html")
    server.answers |= {AT_PATH: page, AT_ROOT: server.answers[AT_PATH]}
    _, findings = await seen_of(server)
    assert "clients with the TypeScript SDK stop there" in texts(findings)
    assert failing(findings) - {BRIDGE} == set(OF_TYPESCRIPT)


async def test_an_open_server_is_not_held_to_oauth(seen_of):
    page = reply("200 OK", b"<h1>hello</h1>", kind="text/html")
    _, findings = await seen_of(Other({AT_PATH: page, AT_ROOT: page, OF_SERVER: page}))
    assert failing(findings) == set()
    assert "metadata" not in texts(findings)


async def test_the_document_that_the_challenge_names_is_read(seen_of):
    server = Guarded({AT_PATH: PAGE})
    server.answers["GET /elsewhere"] = lambda _: document(**server.protected())

    def challenge(_):
        told = f'Bearer resource_metadata="{server.origin}/elsewhere", scope="x"'
        return reply("401 Unauthorized", b"{}", www_authenticate=told)

    server.answers["initialize"] = challenge
    facts, findings = await seen_of(server)
    assert facts.discovery.resource_url == f"{server.origin}/elsewhere"
    assert after_login(findings) == set(LOGS_IN) - {CLAUDE}


async def test_an_authorization_server_elsewhere_is_asked_without_the_token(seen_of, nursery):
    issuer = Other()
    await nursery.start(issuer.scripted.run)
    at = f"{issuer.origin}/tenant"
    told = {**Guarded().described(), "issuer": at}
    issuer.answers["GET /tenant/.well-known/openid-configuration"] = document(
        **told, jwks_uri="j", subject_types_supported=["s"],
        id_token_signing_alg_values_supported=["a"],
    )  # fmt: skip
    server = Guarded()
    server.protected = lambda: {"resource": f"{server.origin}/mcp", "authorization_servers": [at]}
    facts, findings = await seen_of(server, token="refused")
    assert facts.discovery.metadata["issuer"] == at
    assert "The server refuses the token" in texts(findings)
    assert "Clients that log in do not need it." in texts(findings)
    assert after_login(findings) == set(LOGS_IN) - {CLAUDE}
    asked = [seen.target for seen in issuer.scripted.seen]
    assert sorted(asked) == sorted(url.removeprefix(issuer.origin) for url in metadata_urls(at))
    assert not any("authorization" in seen.headers for seen in issuer.scripted.seen)


def test_where_metadata_is_looked_for():
    """RFC 8414, section 3.1 and 5; OpenID Connect Discovery, section 4.1."""
    root = ["https://a/.well-known/oauth-authorization-server",
            "https://a/.well-known/openid-configuration"]  # fmt: skip
    assert metadata_urls("https://a") == metadata_urls("https://a/") == root
    assert metadata_urls("https://a/t/") == [
        "https://a/.well-known/oauth-authorization-server/t",
        "https://a/.well-known/openid-configuration/t",
        "https://a/t/.well-known/openid-configuration",
    ]
    assert challenged_url('Bearer resource_metadata=https://a/x, scope="y"') == "https://a/x"
    assert challenged_url('Bearer resource_metadata="file:///x"') == ""


@pytest.mark.parametrize(
    ("resource", "fail"),
    [
        ("{0}", set()),  # the SDKs take a token for the whole origin
        ("{0}/mcp/", set(OF_TYPESCRIPT)),
        ("{0}/other", {*OF_TYPESCRIPT, PYTHON}),
        ("https://internal.example/mcp", {*OF_TYPESCRIPT, PYTHON}),
    ],
)
async def test_a_resource_that_is_not_the_url(seen_of, resource, fail):
    server = Guarded()
    server.protected = lambda: {
        "resource": resource.format(server.origin),
        "authorization_servers": [server.origin],
    }
    _, findings = await seen_of(server)
    assert failing(findings) - {BRIDGE} == fail
    assert VSCODE in limits(findings)  # it ignores the document, and finds the server all the same
    assert f"and clients are given {server.scripted.url}" in texts(findings)


async def test_a_resource_is_compared_as_urls_are(seen_of):
    server = Guarded()
    server.protected = lambda: {
        "resource": server.scripted.url.replace("http", "HTTP"),
        "authorization_servers": [server.origin],
    }
    _, findings = await seen_of(server)
    assert failing(findings) == {BRIDGE}


@pytest.mark.parametrize(
    ("metadata", "told", "fail", "limited"),
    [
        ({"code_challenge_methods_supported": ["plain"]}, "does not support S256",
         set(OF_TYPESCRIPT), {VSCODE, PYTHON}),
        ({"code_challenge_methods_supported": None}, "does not say that S256 is supported",
         set(), set()),
        ({"issuer": "https://other.example"}, "has the issuer https://other.example",
         {PYTHON, TYPESCRIPT, INSPECTOR, REMOTE}, {CLAUDE_CODE, CURSOR}),
        ({"response_types_supported": None}, "lacks response_types_supported",
         set(OF_TYPESCRIPT), set()),
        ({"token_endpoint": None}, "lacks token_endpoint", set(LOGS_IN) - {CLAUDE}, set()),
        ({"registration_endpoint": None}, "names no way to register",
         set(), set(LOGS_IN) - {CLAUDE}),
        ({"registration_endpoint": None, "client_id_metadata_document_supported": True},
         "registers no clients, and takes the id of a metadata document: Cursor and claude.ai",
         set(), {CURSOR, INSPECTOR, REMOTE, PYTHON, TYPESCRIPT}),
        ({"client_id_metadata_document_supported": True},
         "clients name a metadata document or clients register themselves", set(), set()),
    ],
)  # fmt: skip
async def test_metadata_that_stands_in_the_way(seen_of, metadata, told, fail, limited):
    _, findings = await seen_of(Guarded(**metadata))
    assert told in texts(findings)
    assert failing(findings) - {BRIDGE} == fail
    assert limits(findings) == limited


async def test_a_half_document_of_openid_is_told(seen_of):
    server = Guarded({OF_SERVER: reply("404 Not Found", b"{}")})
    server.answers["GET /.well-known/openid-configuration"] = lambda _: document(
        **server.described()
    )
    _, findings = await seen_of(server)
    assert "openid-configuration lacks jwks_uri" in texts(findings)
    assert failing(findings) - {BRIDGE} == set(OF_TYPESCRIPT)


async def test_an_authorization_server_that_is_not_there(seen_of, unused_port):
    server = Guarded()
    gone = f"http://127.0.0.1:{unused_port}"
    server.protected = lambda: {"resource": f"{server.origin}/mcp", "authorization_servers": [gone]}
    _, findings = await seen_of(server)
    assert "OAuth is half on" in texts(findings)
    assert f"{gone}/.well-known/oauth-authorization-server connection refused" in texts(findings)
    assert failing(findings) == set(ALL) - {CLAUDE}


async def test_a_token_that_is_taken_makes_login_a_matter_of_cursor(seen_of):
    """It looks for OAuth before it connects; the others do when they are refused."""
    usual = Other()

    def initialize(_):
        taken = "authorization" in server.scripted.seen[-1].headers
        message = msgspec.json.decode(server.scripted.seen[-1].body)
        return usual.usual(server.scripted.seen[-1], message) if taken else refused

    server = Guarded({"server/discover": reply("404 Not Found")}, resource="https://h.example/mcp")
    refused = server.answers["initialize"]
    server.answers["initialize"] = initialize
    _, findings = await seen_of(server, token="t")
    assert failing(findings) == {CURSOR}
    assert limits(findings) == {CLAUDE_CODE, VSCODE, INSPECTOR, REMOTE}
    assert "Clients that send the token do not get there" in texts(findings)


async def test_a_static_token_is_asked_for_in_words_that_fit_the_server(seen_of):
    answers = {"initialize": reply("401 Unauthorized", b"{}", www_authenticate="Bearer")}
    _, findings = await seen_of(Other(answers))
    assert "The server wants a token, and none was given" in texts(findings)
    assert "mcpd token create" not in texts(findings)
    assert failing(findings) == set(ALL) - {CLAUDE}
    ours = reply("401 Unauthorized", b"{}", www_authenticate='Bearer realm="mcpd"')
    _, findings = await seen_of(Other(initialize=ours))
    assert "mcpd token create" in texts(findings)


@pytest.mark.parametrize(
    "servers", [["http://["], ["ftp://x"], ["nothing"], [""], [5], "text", {}, ["https://h h/\n"]]
)
async def test_names_of_servers_that_are_none_are_told_and_not_followed(seen_of, servers):
    server = Guarded({OF_SERVER: reply("404 Not Found", b"{}")}, challenge='Bearer x="http://["')
    server.protected = lambda: {"resource": "http://[", "authorization_servers": servers}
    _, findings = await seen_of(server)
    assert "OAuth is half on" in texts(findings)
    assert "is about http://[" in texts(findings)
