"""What an address counts as where something is limited by address. Pure."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

IPV6_PREFIX = 64  # bits: the least that one subscriber gets (RFC 6177); 2**64 addresses are theirs
_KNOWN = 4096  # addresses whose key is remembered


@lru_cache(maxsize=_KNOWN)
def limit_key(address: str) -> str:
    """The key of an address: an IPv6 address stands for its network of 64 bits, an IPv4 address
    that is written as IPv6 for itself, and what is no address (a Unix socket) as well.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    if parsed.is_loopback:
        return str(parsed)
    return str(ip_network((int(parsed), IPV6_PREFIX), strict=False))
