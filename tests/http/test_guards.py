"""Host, Origin and forwarded headers."""

import pytest

from mcpd.errors import ConfigError, Forbidden, MisdirectedRequest
from mcpd.http.forwarded import TrustedProxies
from mcpd.http.guards import LOOPBACK_NAMES, Guard
from mcpd.http.messages import Headers, Peer

LOCAL = Guard()
PUBLIC = Guard(
    hosts=LOOPBACK_NAMES | {"mcp.example.org"},
    origins=frozenset({"https://app.example.org"}),
    loopback_origins=False,
    ip_literals=True,
)


@pytest.mark.parametrize(
    ("guard", "host", "allowed"),
    [
        (LOCAL, "localhost", True),
        (LOCAL, "LOCALHOST:8000", True),
        (LOCAL, "localhost.", True),
        (LOCAL, "127.0.0.1:1", True),
        (LOCAL, "[::1]:8000", True),
        (LOCAL, None, True),
        (LOCAL, "192.0.2.1:80", False),
        (LOCAL, "evil.example.com", False),
        (LOCAL, "localhost.evil.example.com", False),
        (LOCAL, "192.0.2.1", False),
        (PUBLIC, "192.0.2.1:8000", True),
        (PUBLIC, "[2001:db8::1]:8000", True),
        (PUBLIC, "mcp.example.org", True),
        (PUBLIC, "example.org", False),
    ],
)
def test_only_allowed_hosts_are_answered(guard, host, allowed):
    if allowed:
        guard.check_host(host)
        return
    with pytest.raises(MisdirectedRequest) as caught:
        guard.check_host(host)
    assert "--allow-host" in caught.value.fix


@pytest.mark.parametrize(
    ("guard", "origin", "allowed"),
    [
        (LOCAL, "http://localhost:6274", True),
        (LOCAL, "http://localhost:", False),  # no browser sends an empty port
        (LOCAL, "http://127.0.0.1", True),
        (LOCAL, "https://[::1]:3", True),
        (LOCAL, "http://evil.example.com", False),
        (LOCAL, "http://localhost.evil.example.com", False),
        (LOCAL, "null", False),
        (LOCAL, "file://localhost", False),
        (PUBLIC, "http://localhost:6274", False),
        (PUBLIC, "https://app.example.org", True),
        (PUBLIC, "http://app.example.org", False),
    ],
)
def test_only_allowed_origins_may_call(guard, origin, allowed):
    assert guard.allows_origin(origin) is allowed
    if not allowed:
        with pytest.raises(Forbidden) as caught:
            guard.check_origin(origin)
        assert "--allow-origin" in caught.value.fix


def headers(**fields: str) -> Headers:
    return Headers((k.replace("_", "-").encode(), v.encode()) for k, v in fields.items())


TRUST = TrustedProxies.parse(["10.0.0.0/8", "unix"])
FORWARDED = headers(
    x_forwarded_for="1.1.1.1, 203.0.113.9, 10.2.3.4",
    x_forwarded_proto="https",
    x_forwarded_host="mcp.example.org",
)


def test_a_trusted_proxy_is_believed_up_to_the_first_address_it_does_not_know():
    seen = TRUST.resolve(Peer("10.0.0.1", is_loopback=False), FORWARDED)
    assert seen == Peer("203.0.113.9", False, "https", "mcp.example.org")


def test_nobody_else_is_believed():
    peer = Peer("203.0.113.1", is_loopback=False)
    assert TRUST.resolve(peer, FORWARDED) is peer
    assert not TrustedProxies()


def test_a_proxy_on_a_unix_socket_and_one_that_says_nothing():
    unix = Peer("unix", is_loopback=True)
    assert TRUST.resolve(unix, FORWARDED).address == "203.0.113.9"
    assert TRUST.resolve(unix, headers()) == unix


def test_a_network_that_is_none_is_a_configuration_error():
    with pytest.raises(ConfigError):
        TrustedProxies.parse(["10.0.0.0/99"])
