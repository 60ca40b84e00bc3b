"""What a reverse proxy says of the request it passes on; believed from configured ones alone."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Self

from mcpd.errors import ConfigError
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
            is_loopback=_is_loopback(address),
            scheme=scheme if scheme in ("http", "https") else peer.scheme,
            host=host or None,
        )


def _last(value: str) -> str:
    return value.rpartition(",")[2].strip()


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == UNIX_ADDRESS
