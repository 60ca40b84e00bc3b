"""What came through a proxy is not of this machine, and its Host is checked twice."""

import pytest

from mcpd.config import load
from mcpd.errors import BadRequest, ConfigError, MisdirectedRequest
from mcpd.http.forwarded import PROXY_FIELDS, TrustedProxies, peer_of
from mcpd.http.guards import Guard
from mcpd.http.messages import Peer
from mcpd.http.parser import RequestParser
from tests.in_process import modern, serving

LOCAL, UNIX = Peer("127.0.0.1", is_loopback=True), Peer("unix", is_loopback=True)
NO_PROXIES = TrustedProxies()
MALFORMED = ["localhost:80@evil.com", "[::1]evil.com", "[::1", "::1", "a b", "localhost:x", "-",
             "", "localhost:8000:1", "localhost/", "http://localhost", "localhost.."]  # fmt: skip


def head(*fields: str, version: str = "1.1"):
    parser = RequestParser(8192)
    lines = [f"GET / HTTP/{version}", "Host: localhost", *fields, "", ""]
    parser.feed("\r\n".join(lines).encode())
    return parser.next_head()


@pytest.mark.parametrize("peer", [LOCAL, UNIX])
@pytest.mark.parametrize("name", PROXY_FIELDS)
def test_any_field_of_a_proxy_says_that_there_is_one(peer, name):
    assert peer_of(peer, head(), NO_PROXIES).is_loopback
    assert not peer_of(peer, head(f"{name.decode()}: 127.0.0.1"), NO_PROXIES).is_loopback


def test_http_1_0_is_what_a_proxy_speaks_by_default():
    assert not peer_of(LOCAL, head(version="1.0"), NO_PROXIES).is_loopback


@pytest.mark.parametrize(
    ("trusted", "peer"), [("127.0.0.1", LOCAL), ("unix", UNIX), ("127.0.0.0/8", LOCAL)]
)
@pytest.mark.parametrize("claimed", ["127.0.0.1", "::1", "unix", "203.0.113.9, 127.0.0.1", ""])
def test_a_trusted_proxy_never_speaks_for_this_machine(trusted, peer, claimed):
    proxies = TrustedProxies.parse([trusted])
    fields = [f"X-Forwarded-For: {claimed}"] if claimed else []
    assert not peer_of(peer, head(*fields), proxies).is_loopback


@pytest.mark.parametrize("host", MALFORMED)
def test_a_host_that_is_none_is_refused(host):
    with pytest.raises(BadRequest):
        Guard(ip_literals=True).check_host(host)


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:8000.evil.example", "http://localhost:80@evil.example",
               "http://[::1]evil.example", "http://localhost.evil.example"]
)  # fmt: skip
def test_a_page_that_only_looks_local_may_not_call(origin):
    assert not Guard().allows_origin(origin)
    assert Guard().allows_origin("http://127.0.0.1:8000")


def test_a_name_that_needs_another_host_is_refused_still():
    with pytest.raises(MisdirectedRequest):
        Guard().check_host("localhost.evil.example")


async def test_both_hosts_of_a_proxied_request_are_checked(tmp_path):
    settings = {"trusted_proxies": ("127.0.0.1",), "public_url": "https://mcp.example.org"}
    async with serving(tmp_path, **settings) as server:

        async def status(host: str, forwarded: str) -> int:
            peer = server.connect()
            peer.host = host
            fields = [("x-forwarded-host", forwarded), ("x-forwarded-for", "203.0.113.9")]
            return (await peer.request("GET", "/health", headers=fields)).status

        assert await status("evil.example", "localhost") == 421
        assert await status("localhost", "evil.example") == 421
        assert await status("localhost", "mcp.example.org") == 200
        assert await status("mcp.example.org", "mcp.example.org") == 200


async def test_what_is_open_to_this_machine_is_closed_behind_a_proxy(tmp_path):
    async with serving(tmp_path) as server:
        proxied = [("x-forwarded-for", "203.0.113.9")]
        assert (await server.connect().request("GET", "/registrations")).status == 200
        reply = await server.connect().request("GET", "/registrations", headers=proxied)
        assert reply.status == 401
        claimed = [("x-forwarded-for", "127.0.0.1")]
        reply = await server.connect().request("GET", "/registrations", headers=claimed)
        assert reply.status == 401
        statuses = [
            (await server.connect().request("POST", "/register", json={}, headers=proxied)).status
            for _ in range(32)
        ]
        assert 429 in statuses


async def test_a_public_url_closes_what_is_open_for_development(tmp_path):
    async with serving(tmp_path, public_url="https://mcp.example.org") as server:
        assert (await server.connect().request("GET", "/registrations")).status == 401
        page = [("origin", "http://localhost:3000")]
        assert (await server.connect().request("GET", "/health", headers=page)).status == 403


@pytest.mark.parametrize(
    "exposed",
    [
        {"MCPD_PUBLIC_URL": "https://mcp.example.org"},
        {"MCPD_TRUSTED_PROXIES": "10.0.0.1"},
        {"MCPD_PRODUCTION": "true"},
    ],
)
def test_a_server_for_others_does_not_start_without_tokens(exposed):
    with pytest.raises(ConfigError, match="auth = none"):
        load(flags={}, environ={"MCPD_AUTH": "none", **exposed})
    load(flags={}, environ={"MCPD_AUTH": "none", "MCPD_PUBLIC_URL": "http://localhost:8000"})


async def test_without_tokens_nothing_is_served_through_a_proxy(tmp_path):
    async with serving(tmp_path, auth="none") as server:
        peer = server.connect()
        assert (await modern(peer, "tools/list")).status == 200
        peer = server.connect()
        peer.headers["x-real-ip"] = "203.0.113.9"
        reply = await modern(peer, "tools/list")
        assert reply.status == 403
        assert "--auth none" in reply.json()["fix"]


@pytest.mark.parametrize("name", ["[::1", "a:b:c", "-"])
async def test_settings_that_name_no_host_are_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="names no host"):
        async with serving(tmp_path, allow_host=(name,)):
            raise AssertionError
