"""What a reverse proxy says of the request it passes on; believed from configured ones alone."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Self

from mcpd.errors import ConfigError
from mcpd.http.heads import Head
from mcpd.http.messages import Headers, Peer

UNIX_ADDRESS = "unix"


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Networks whose X-Forwarded-For, -Proto and -Host are believed; "unix" for Unix sockets."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, names: Iterable[str]) -> Self:
        """Read addresses and networks in CIDR form.

        Raises:
            ConfigError: one of them is neither.
        """
        names = list(names)
        try:
            networks = tuple(ip_network(n, strict=False) for n in names if n != UNIX_ADDRESS)
        except ValueError as error:
            raise ConfigError(
                f"trusted_proxies: {error}.", fix="Give addresses like 10.0.0.0/8 or ::1."
            ) from error
        return cls(networks, UNIX_ADDRESS in names)

    def __bool__(self) -> bool:
        return bool(self.networks or self.unix)

    def trusts(self, address: str) -> bool:
        """Whether the peer with this address is a configured proxy."""
        if address == UNIX_ADDRESS:
            return self.unix
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.networks)

    def resolve(self, peer: Peer, headers: Headers) -> Peer:
        """The peer that the nearest trusted proxy saw; ``peer`` itself if it is no proxy.

        X-Forwarded-For is read from the right, past further trusted proxies, because everything
        to the left of the first untrusted address is the client's own word.
        """
        if not self.trusts(peer.address):
            return peer
        address = peer.address
        for hop in reversed(headers.joined(b"x-forwarded-for").split(",")):
            if not hop.strip():
                continue
            address = hop.strip()[:45]
            if not self.trusts(address):
                break
        scheme = _last(headers.joined(b"x-forwarded-proto")).lower()
        host = _last(headers.joined(b"x-forwarded-host"))
        return replace(
            peer,
            address=address,
            scheme=scheme if scheme in ("http", "https") else peer.scheme,
            host=host or None,
        )


# What reverse proxies, load balancers and tunnels add, and clients do not. Fields of traces are not
# among them: an instrumented client of this machine sends those itself.
PROXY_FIELDS = (
    b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto",
    b"x-forwarded-port", b"x-forwarded-server", b"x-forwarded-scheme", b"x-forwarded-prefix",
    b"x-forwarded", b"x-original-forwarded-for", b"x-original-host", b"x-original-uri",
    b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-envoy-external-address",
    b"x-azure-clientip", b"x-appengine-remote-addr", b"true-client-ip", b"cf-connecting-ip",
    b"cf-ray", b"fly-client-ip", b"fastly-client-ip",
)  # fmt: skip


def peer_of(socket_peer: Peer, head: Head, trusted: TrustedProxies) -> Peer:
    """Who sent a request: what its socket and its head say together.

    A request that came through a proxy is never one of this machine, whatever the proxy says of its
    origin: a client may have written that itself. A trusted proxy is one; so is what adds a field
    of proxies, or speaks HTTP/1.0, as nginx does by default.
    """
    peer = trusted.resolve(socket_peer, head.headers) if trusted else socket_peer
    if not peer.is_loopback:
        return peer
    proxied = (
        head.http_10
        or trusted.trusts(socket_peer.address)
        or any(name in head.headers for name in PROXY_FIELDS)
    )
    return replace(peer, is_loopback=False) if proxied else peer


def _last(value: str) -> str:
    return value.rpartition(",")[2].strip()
