"""Host, Origin and CORS: who may speak to this server from a browser. Pure.

``Router`` checks Host, then Origin. A page that a browser got from elsewhere
reaches a local server in two ways: with its own Origin, or, after DNS rebinding, with its own
name in Host. Both are refused whatever else is right.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from mcpd.errors import BadRequest, Forbidden, MisdirectedRequest
from mcpd.http.messages import HeaderPairs, Peer, Request

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_PREFLIGHT_MAX_AGE_S = b"600"


@dataclass(frozen=True, slots=True)
class CorsHeaders:
    """Header fields that admitted pages may send and read.

    Args:
        allowed: names of request fields, as they are shown.
        allowed_prefix: request fields whose names begin so are allowed too; in lower case.
        exposed: names of response fields.
    """

    allowed: tuple[bytes, ...] = (b"Authorization", b"Content-Type", b"Accept", b"Last-Event-ID")
    allowed_prefix: bytes = b""
    exposed: tuple[bytes, ...] = (b"WWW-Authenticate",)


@dataclass(frozen=True, slots=True)
class Guard:
    """What Host and Origin may be.

    Args:
        hosts: names without port, in lower case.
        origins: scheme://host[:port] of pages that may call; they get CORS headers.
        loopback_origins: pages served by this machine may call too (development mode).
        ip_literals: an address as Host is accepted. Rebinding needs a name, so this is safe,
            and needed where a server is reached by address.
        this_machine_only: nothing that came through a proxy is served.
        cors: header fields that admitted pages may use.
    """

    hosts: frozenset[str] = LOOPBACK_NAMES
    origins: frozenset[str] = frozenset()
    loopback_origins: bool = True
    ip_literals: bool = False
    this_machine_only: bool = False
    cors: CorsHeaders = CorsHeaders()

    def check_peer(self, peer: Peer) -> None:
        """Refuse what came through a proxy, where only this machine may call.

        Raises:
            Forbidden: with the setting that lets others call.
        """
        if self.this_machine_only and not peer.is_loopback:
            raise Forbidden(
                "This server asks for no tokens and serves this machine alone, and the request"
                " came through a proxy, or in HTTP/1.0, as from one.",
                fix="Start it without --auth none, and give clients tokens.",
            )

    def check_host(self, host: str | None) -> None:
        """Refuse a name that is not ours.

        Raises:
            MisdirectedRequest: with the setting that admits the name.
            BadRequest: it is no host (RFC 9112, section 3.2).
        """
        if host is None:
            return  # HTTP/1.0; no browser sends it
        name = host_name(host)
        if not name:
            raise BadRequest(
                "The Host is not a name or an address with an optional port.",
                fix="Send Host: NAME or NAME:PORT.",
            )
        if name in self.hosts or (self.ip_literals and _is_ip_literal(name)):
            return
        raise MisdirectedRequest(
            "This server does not answer for that Host.",
            received=host[:255],
            fix=f"Start it with --allow-host {name[:255]} if that is its name,"
            " or let the proxy in front pass a Host that is allowed.",
        )

    def allows_origin(self, origin: str) -> bool:
        """Whether a page of this origin may call."""
        if origin in self.origins:
            return True
        return self.loopback_origins and _is_loopback_origin(origin)

    def check_origin(self, origin: str) -> None:
        """Refuse a foreign page.

        Raises:
            Forbidden: with the setting that admits the origin.
        """
        if not self.allows_origin(origin):
            raise Forbidden(
                "Pages of that Origin may not call this server.",
                received=origin[:255],
                fix=f"Start it with --allow-origin {origin[:255]} if you trust that page.",
            )

    def cors_headers(self, origin: str, *, credentials: bool) -> HeaderPairs:
        """What lets a page of ``origin`` read the answer (Fetch standard, section 3.3)."""
        return (
            (b"access-control-allow-origin", origin.encode("latin-1") if credentials else b"*"),
            (b"access-control-expose-headers", b", ".join(self.cors.exposed)),
            (b"vary", b"Origin"),
        )

    def preflight_headers(self, request: Request, methods: bytes) -> HeaderPairs:
        """The answer to a preflight, beyond ``cors_headers`` (Fetch standard, section 4.8)."""
        asked = request.headers.joined(b"access-control-request-headers").lower()
        names = [name.strip() for name in asked.encode("latin-1").split(b",")]
        prefix = self.cors.allowed_prefix
        extra = [name for name in names if prefix and name.startswith(prefix)]
        return (
            (b"access-control-allow-methods", methods),
            (b"access-control-allow-headers", b", ".join([*self.cors.allowed, *extra])),
            (b"access-control-max-age", _PREFLIGHT_MAX_AGE_S),
        )


# RFC 9110, section 7.2, with the characters that names in use have: uri-host [ ":" port ]
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)\.?(?::[0-9]{0,5})?")


def host_name(host: str) -> str:
    """Host without its port, in lower case; IPv6 keeps its brackets. Empty: it is no host."""
    match = _HOST.fullmatch(host.lower())
    return "" if match is None else match[1]


def _is_ip_literal(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_loopback_origin(origin: str) -> bool:
    scheme, separator, host = origin.partition("://")
    if not separator or scheme not in ("http", "https") or host.endswith(":"):
        return False  # an Origin has its port whole, or none (RFC 6454, section 6.2)
    return host_name(host) in LOOPBACK_NAMES
