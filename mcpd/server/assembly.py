"""The rooms put together: from settings to one endpoint. No sockets, no tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mcpd.auth.gate import Gate
from mcpd.auth.seal import Sealer
from mcpd.auth.secrets import SecretSource
from mcpd.auth.tokens import TokenRules, Verifier
from mcpd.config import Config
from mcpd.errors import ConfigError
from mcpd.http.forwarded import TrustedProxies
from mcpd.http.guards import LOOPBACK_NAMES, CorsHeaders, Guard, host_name
from mcpd.http.messages import AccessLog, Endpoint
from mcpd.http.routes import Route, Router
from mcpd.http.site import Site
from mcpd.limits.buckets import Buckets
from mcpd.mcp.catalog.catalog import Host
from mcpd.mcp.request import Services
from mcpd.mcp.revisions import versions
from mcpd.mcp.transports.http_sse import MESSAGES_PATH, HttpSse
from mcpd.mcp.transports.streamable_http import StreamableHttp
from mcpd.registration.convenience import Convenience
from mcpd.registration.description import Description
from mcpd.registration.ending import Unregister
from mcpd.registration.health import Health
from mcpd.registration.listing import Listing
from mcpd.registration.register import Registrations
from mcpd.server.apps import load_apps
from mcpd.server.backends import is_shared, open_backend
from mcpd.server.keys import find_secrets
from mcpd.server.services import make_services
from mcpd.sessions.backend import Backend
from mcpd.sessions.service import Sessions

REGISTRATION_BURST = 10
_SHOWN_NAMES = (b"Mcp-Session-Id", b"X-Session-ID", b"MCP-Protocol-Version")
CORS = CorsHeaders(
    (*CorsHeaders().allowed, *_SHOWN_NAMES, b"Mcp-Method", b"Mcp-Name"),
    allowed_prefix=b"mcp-param-",
    exposed=(*_SHOWN_NAMES, *CorsHeaders().exposed),
)


@dataclass(slots=True)
class House:
    """Everything that one server is made of."""

    config: Config
    host: Host
    backend: Backend
    sessions: Sessions
    gate: Gate
    sealer: Sealer
    services: Services
    site: Site
    registrations: Registrations
    secret_origin: str


def build(
    config: Config, environ: Mapping[str, str], access_log: AccessLog, *, local: bool
) -> House:
    """Build a server from settings.

    Args:
        local: only this machine can connect; tells what may be left open.

    Raises:
        ConfigError: a setting, a file, or a store is not usable.
        DeclarationError: the apps cannot be served together.
    """
    if config.auth == "none" and not local:
        raise ConfigError(
            "auth = none is only possible on loopback, and the sockets are not.",
            fix="Bind them to 127.0.0.1, or use tokens.",
        )
    host = _host(config)
    secrets = find_secrets(config, environ, create=True)
    gate = Gate(None if config.auth == "none" else make_verifier(config, secrets))
    sealer = Sealer("request state", secrets.secrets)  # what one process seals, others open
    backend = open_backend(config)
    sessions = Sessions(
        backend.store,
        timeout_s=config.session_timeout_s,
        max_unbound=config.max_unauthenticated_sessions,
        bus=backend.bus,
    )
    services = make_services(
        host,
        sessions,
        sealer,
        backend,
        calls_per_minute=config.calls_per_minute,
        request_timeout_s=config.request_timeout_s,
    )
    description = _describe(config, host, gate)
    registrations = Registrations(
        sessions,
        description,
        Buckets(per_minute=config.registrations_per_minute, burst=REGISTRATION_BURST),
        limit_loopback=config.limit_loopback,
    )
    routes = _mcp_routes(services, gate, config) + _health_routes(Health(sessions, description))
    if config.handshake:
        routes += _registration_routes(registrations, any_origin=not config.production)
        listing = Listing(sessions, gate, local and not config.production)
        routes += _session_routes(listing, Unregister(sessions, gate))
    site = Site(
        Router(routes, make_guard(config, local=local), hint="The MCP endpoint is /mcp/."),
        config.bounds(),
        access_log if config.access_log else _no_access_log,
        TrustedProxies.parse(config.trusted_proxies),
    )
    origin = "" if config.auth == "none" else secrets.origin
    return House(
        config, host, backend, sessions, gate, sealer, services, site, registrations, origin
    )


def _host(config: Config) -> Host:
    return Host(
        load_apps(config.app),
        page_size=config.page_size,
        tool_threads=config.tool_threads,
        versions=versions(handshake=config.handshake),
        keeps_tasks=config.workers == 1 or is_shared(config),
    )


def _describe(config: Config, host: Host, gate: Gate) -> Description:
    return Description(
        name=str(host.info["name"]),
        version=str(host.info["version"]),
        public_url=config.public_url,
        auth_required=gate.required,
        host=host,
    )


def _mcp_routes(services: Services, gate: Gate, config: Config) -> list[Route]:
    max_body_bytes = config.max_body_bytes
    transport = StreamableHttp(
        services, gate, max_body_bytes=max_body_bytes, handshake=config.handshake
    )
    endpoints: dict[str, Endpoint] = {
        "POST": transport.post,
        "GET": transport.get,
        "DELETE": transport.delete,
    }
    routes = [Route("/mcp", endpoints), Route("/mcp/", endpoints)]
    if not config.handshake:
        return routes
    initialize = Convenience(transport, "initialize").serve
    list_tools = Convenience(transport, "tools/list").serve
    http_sse = HttpSse(services, gate, max_body_bytes=max_body_bytes)
    return [
        *routes,
        Route("/mcp/initialize", {"POST": initialize}),
        Route("/mcp/tools/list", {"POST": list_tools, "GET": list_tools}),
        Route("/sse", {"GET": http_sse.get}),
        Route(MESSAGES_PATH, {"POST": http_sse.post}),
    ]


def _health_routes(health: Health) -> list[Route]:
    return [Route("/health", {"GET": health.get, "HEAD": health.get})]


def _session_routes(listing: Listing, unregister: Unregister) -> list[Route]:
    return [
        Route("/unregister", {"POST": unregister.post}),
        Route("/registrations", {"GET": listing.get}),
    ]


def _registration_routes(registrations: Registrations, *, any_origin: bool) -> list[Route]:
    endpoints: dict[str, Endpoint] = {"POST": registrations.post, "GET": registrations.get}
    paths = ("/register", "/api/register", "/mcp/register")
    return [Route(path, endpoints, any_origin=any_origin) for path in paths]


def make_verifier(config: Config, source: SecretSource) -> Verifier:
    """A fresh verifier, with an empty cache."""
    rules = TokenRules(config.jwt_issuer, config.jwt_audience, config.jwt_leeway_s)
    return Verifier(source.secrets, rules)


def make_guard(config: Config, *, local: bool) -> Guard:
    """Who may be named in Host and Origin."""
    hosts = set(LOOPBACK_NAMES) | {host_name(name) for name in config.allow_host}
    origins = set(config.allow_origin)
    if config.public_url:
        public = urlsplit(config.public_url)
        hosts.add(host_name(public.netloc))
        origins.add(f"{public.scheme}://{public.netloc.lower()}")
    return Guard(
        frozenset(hosts),
        frozenset(origins),
        loopback_origins=not config.production,
        ip_literals=not local,
        cors=CORS,
    )


def _no_access_log(*_: object) -> None:
    """Used when the access log is off."""
