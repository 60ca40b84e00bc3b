"""Everything that was seen of one server. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from mcpd.doctor.seen import Seen
from mcpd.mcp.revisions import HANDSHAKE as HANDSHAKE_REVISIONS

HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"
OK = (200, 202, 204)

_PROXY_FIELDS = ("via", "x-cache", "x-served-by", "cf-ray", "fly-request-id", "x-amzn-trace-id",
                 "x-envoy-upstream-service-time", "x-azure-ref")  # fmt: skip
_PROXIES = ("nginx", "openresty", "caddy", "envoy", "istio", "cloudflare", "apache", "awselb",
            "varnish", "google frontend", "haproxy", "traefik", "fly")  # fmt: skip


@dataclass(slots=True)
class Discovery:
    """Where clients are led that are asked to log in (MCP, basic/authorization).

    Attributes:
        well_known: what the server's own origin has, by path.
        resources: what was seen where the protected resource document may be, by URL, in the
            clients' order.
        issuer: the authorization server that clients use: the first that is named, or else the
            server's own origin.
        issuers: what was seen where its metadata may be, by URL, in the clients' order.
    """

    well_known: dict[str, Seen] = field(default_factory=dict)
    resources: dict[str, Seen] = field(default_factory=dict)
    issuer: str = ""
    issuers: dict[str, Seen] = field(default_factory=dict)

    @property
    def resource_url(self) -> str:
        """Where the first protected resource document is; empty: there is none."""
        return next((url for url, seen in self.resources.items() if is_resource(seen)), "")

    @property
    def resource(self) -> dict[str, Any]:
        """That document; empty: there is none."""
        url = self.resource_url
        return self.resources[url].document if url else {}

    @property
    def metadata_url(self) -> str:
        """Where the first metadata of the authorization server is; empty: there is none."""
        return next((url for url, seen in self.issuers.items() if is_metadata(seen)), "")

    @property
    def metadata(self) -> dict[str, Any]:
        """That metadata; empty: there is none."""
        url = self.metadata_url
        return self.issuers[url].document if url else {}


def is_resource(seen: Seen) -> bool:
    """Whether it is protected resource metadata (RFC 9728)."""
    return any(name in seen.document for name in ("resource", "authorization_servers"))


def is_metadata(seen: Seen) -> bool:
    """Whether it is metadata of an authorization server (RFC 8414, OpenID Connect Discovery)."""
    return any(name in seen.document for name in ("issuer", "authorization_endpoint"))


def first_server(resource: dict[str, Any]) -> str:
    """The authorization server that clients use; empty: none is named."""
    named = resource.get("authorization_servers")
    first = named[0] if isinstance(named, list) and named else ""
    return first if isinstance(first, str) else ""


@dataclass(slots=True)
class Facts:
    """What came of every probe; one that was not made has no status and no error.

    Attributes:
        lists: the pages of what is offered, by method, at most two of each.
        registrations: of an mcpd elsewhere, without a token.
        skew_s: the server's clock before ours.
        cut_short: why not everything was asked.
    """

    url: str
    had_token: bool
    initialize: Seen = field(default_factory=Seen)
    initialized: Seen = field(default_factory=Seen)
    discover: Seen = field(default_factory=Seen)
    anonymous: Seen = field(default_factory=Seen)
    listen: Seen = field(default_factory=Seen)
    stream: Seen = field(default_factory=Seen)
    ended: Seen = field(default_factory=Seen)
    lost: Seen = field(default_factory=Seen)
    old_sse: bool = False
    lists: dict[str, list[Seen]] = field(default_factory=dict)
    discovery: Discovery = field(default_factory=Discovery)
    registrations: Seen = field(default_factory=Seen)
    skew_s: float = 0.0
    cut_short: str = ""

    @property
    def version(self) -> str:
        """What ``initialize`` agreed on; empty: it did not."""
        version = self.initialize.result.get("protocolVersion")
        return version if isinstance(version, str) else ""

    @property
    def knows_version(self) -> bool:
        """Whether clients know the version that ``initialize`` agreed on."""
        return self.version in HANDSHAKE_REVISIONS

    @property
    def speaks_modern(self) -> bool:
        """Whether the server says that it speaks MODERN."""
        named = self.discover.result.get("supportedVersions")
        return isinstance(named, list) and MODERN in named

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the server says that it has."""
        told = (self.initialize.result if self.version else self.discover.result).get(
            "capabilities"
        )
        return told if isinstance(told, dict) else {}

    @property
    def challenge(self) -> str:
        """What a client without a token is told."""
        return self.anonymous.fields.get("www-authenticate", "")

    @property
    def wants_login(self) -> bool:
        """Whether a client without a token is refused."""
        return self.anonymous.status == 401

    @property
    def has_oauth(self) -> bool:
        """Whether a client that is refused finds an authorization server."""
        return bool(self.discovery.metadata)

    @property
    def is_ours(self) -> bool:
        """Whether the server is mcpd: it is the one whose refusals have a ``fix``."""
        if 'realm="mcpd"' in self.challenge:
            return True
        bodies = (seen.json for seen in self._all())
        return any(
            isinstance(body, dict) and {"error", "error_description", "fix"} <= set(body)
            for body in bodies
        )

    @property
    def is_this_machine(self) -> bool:
        """Whether the URL leads to the machine that asks."""
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def lists_clients(self) -> bool:
        """Whether mcpd tells without a token who is registered."""
        body = self.registrations.json
        return isinstance(body, dict) and "active_registrations" in body

    @property
    def has_proxy(self) -> bool:
        """Whether something in between shows itself in a response."""
        return any(
            any(name in seen.fields for name in _PROXY_FIELDS)
            or any(name in seen.fields.get("server", "").lower() for name in _PROXIES)
            for seen in self._all()
        )

    def _all(self) -> Iterator[Seen]:
        yield from (self.initialize, self.anonymous, self.initialized, self.stream)
        yield from self.discovery.well_known.values()
