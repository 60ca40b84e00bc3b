"""The rooms put together: from settings to one endpoint. No sockets, no tasks."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from mcpd.auth.access_control import AccessControl
from mcpd.auth.authenticator import Authenticator, Identity, Sent
from mcpd.auth.seal import Sealer
from mcpd.auth.secrets import SecretSource
from mcpd.config import Config
from mcpd.errors import ConfigError, McpdError
from mcpd.events import CredentialRefused, LimitReached
from mcpd.http.addresses import limit_key
from mcpd.http.forwarded import TrustedProxies
from mcpd.http.messages import Endpoint
from mcpd.http.routes import Route, Router
from mcpd.http.state import ServerState
from mcpd.limits.caps import SETTINGS, Caps
from mcpd.limits.policy import Limits, make_limits
from mcpd.mcp.catalog.catalog import Catalog
from mcpd.mcp.catalog.provider import Provider
from mcpd.mcp.revisions import versions
from mcpd.mcp.runtime import Runtime, make_runtime
from mcpd.mcp.transports.http_sse import MESSAGES_PATH, HttpSse
from mcpd.mcp.transports.streamable_http import StreamableHttp
from mcpd.observer import Observer
from mcpd.operations.health import Health
from mcpd.operations.key_endpoint import KeyEndpoint
from mcpd.operations.registrations import RegistrationListing
from mcpd.registration.description import Description
from mcpd.registration.method_aliases import MethodAlias
from mcpd.registration.register import Registrations
from mcpd.registration.unregister import Unregister
from mcpd.server.apps import load_apps
from mcpd.server.backends import (
    credentials_path,
    is_shared,
    open_backend,
    open_credentials,
    open_ledger,
)
from mcpd.server.credentials import Credentials
from mcpd.server.guard import make_guard
from mcpd.server.jwt_secrets import find_secrets
from mcpd.sessions.backend import Backend
from mcpd.sessions.service import Sessions


@dataclass(frozen=True, slots=True)
class Server:
    """Everything that one server is made of.

    Attributes:
        state: what its HTTP connections share.
        secret_origin: where its secret came from, in words; empty: it needs none.
    """

    config: Config
    backend: Backend
    runtime: Runtime
    credentials: Credentials
    state: ServerState
    health: Health
    secret_origin: str

    def close(self) -> None:
        """Close its files; blocks while a statement runs."""
        self.backend.store.close()
        self.runtime.limits.allowances.close()
        if self.credentials.store is not None:
            self.credentials.store.close()

    @property
    def authenticator(self) -> Authenticator:
        """Who its clients are."""
        return self.credentials.authenticator

    @property
    def catalog(self) -> Catalog:
        """What it offers."""
        return self.runtime.catalog


def build(
    config: Config,
    environ: Mapping[str, str],
    observer: Observer,
    *,
    local: bool,
    providers: Sequence[Provider] | None = None,
) -> Server:
    """Build a server from settings.

    Args:
        local: only this machine can connect; tells what may be left open.
        providers: served in the place of the apps that the settings name.

    Raises:
        ConfigError: a setting, a file, or a store is not usable.
        DeclarationError: the apps cannot be served together.
    """
    if config.auth == "none" and not local:
        raise ConfigError(
            "auth = none is only possible on loopback, and the sockets are not.",
            fix="Bind them to 127.0.0.1, or use tokens.",
        )
    catalog = _catalog(config, load_apps(config.app) if providers is None else providers)
    secrets = find_secrets(config, environ, create=True)
    backend = open_backend(config)
    credentials = _credentials(config, secrets, backend)
    authenticator = credentials.authenticator
    for part in backend.observed:
        part.observer = observer
    runtime = _runtime(config, catalog, backend, secrets, observer, credentials.access)
    authenticator.on_refused = _refusal_counter(runtime.limits, credentials.access, observer)
    description = _describe(config, catalog, authenticator)
    registrations = Registrations(runtime.sessions, description, runtime.limits, observer)
    routes = _mcp_routes(runtime, authenticator, config)
    health = Health(runtime.sessions, description, lambda: state.ready, lambda: credentials.trouble)
    routes += _health_routes(health) + _key_routes(credentials)
    if config.handshake:
        routes += _registration_routes(registrations, any_origin=not config.is_exposed)
        listing = RegistrationListing(
            runtime.sessions, authenticator, local and not config.is_exposed
        )
        routes += _session_routes(listing, Unregister(runtime.sessions, authenticator))
    state = ServerState(
        Router(routes, make_guard(config, local=local), hint="The MCP endpoint is /mcp/."),
        config.bounds(),
        observer,
        TrustedProxies.parse(config.trusted_proxies),
        bodies=runtime.limits.caps.bodies,
    )
    credentials.end_streams = state.end_streams
    state.may_open = lambda opener: _still_counts(opener, authenticator)
    origin = "" if config.auth == "none" else secrets.origin
    return Server(config, backend, runtime, credentials, state, health, origin)


def _catalog(config: Config, providers: Sequence[Provider]) -> Catalog:
    return Catalog(
        providers,
        page_size=config.page_size,
        tool_threads=config.tool_threads,
        versions=versions(handshake=config.handshake),
        keeps_tasks=config.workers == 1 or is_shared(config),
    )


def _runtime(
    config: Config,
    catalog: Catalog,
    backend: Backend,
    secrets: SecretSource,
    observer: Observer,
    access: AccessControl,
) -> Runtime:
    sessions = Sessions(
        backend.store,
        timeout_s=config.session_timeout_s,
        max_unbound=config.max_unauthenticated_sessions,
        max_per_user=config.max_sessions_per_user,
        bus=backend.bus,
        clock=backend.clock,
        observer=observer,
    )
    limits = make_limits(
        registrations_per_minute=config.registrations_per_minute,
        limit_loopback=config.limit_loopback,
        max_result_bytes=config.max_result_bytes,
        caps=make_caps(config),
        ledger=open_ledger(config, backend),
        processes=config.workers,
        clock=backend.clock,
        steady=time.monotonic,
    )
    limits.on_refusal.append(lambda name: observer.tell(LimitReached(name)))
    sealer = Sealer("request state", secrets.secrets)  # what one process seals, others open
    return make_runtime(
        catalog,
        sessions,
        sealer,
        backend,
        limits,
        observer,
        access,
        request_timeout_s=config.request_timeout_s,
        left_call_timeout_s=config.left_call_timeout_s,
    )


def make_caps(config: Config) -> Caps:
    """The caps that settings name."""
    given = {name: getattr(config, name) for name in SETTINGS}
    return Caps(max_body_bytes=config.max_body_bytes, **given)


def _still_counts(opener: object, authenticator: Authenticator) -> bool:
    """Whether a stream may open: its client comes back and is asked again if not."""
    return not isinstance(opener, Identity) or authenticator.holds(opener, opener.generation)


def _refusal_counter(
    limits: Limits, access: AccessControl, observer: Observer
) -> Callable[[Sent, McpdError], Awaitable[None]]:
    """Guessing at credentials is limited like requests are: by address, since there is no user."""

    async def count(sent: Sent, error: McpdError) -> None:
        observer.tell(CredentialRefused(getattr(error, "reason", "rights")))
        if not sent.is_loopback or limits.limit_loopback:
            await limits.count(limit_key(sent.address), access.base_limits.requests)

    return count


def _describe(config: Config, catalog: Catalog, authenticator: Authenticator) -> Description:
    return Description(
        name=str(catalog.info["name"]),
        version=str(catalog.info["version"]),
        public_url=config.public_url,
        auth_required=authenticator.required,
        catalog=catalog,
    )


def _mcp_routes(runtime: Runtime, authenticator: Authenticator, config: Config) -> list[Route]:
    max_body_bytes = config.max_body_bytes
    transport = StreamableHttp(
        runtime, authenticator, max_body_bytes=max_body_bytes, handshake=config.handshake
    )
    endpoints: dict[str, Endpoint] = {
        "POST": transport.post,
        "GET": transport.get,
        "DELETE": transport.delete,
    }
    routes = [Route("/mcp", endpoints), Route("/mcp/", endpoints)]
    if not config.handshake:
        return routes
    initialize = MethodAlias(transport, "initialize").serve
    list_tools = MethodAlias(transport, "tools/list").serve
    http_sse = HttpSse(runtime, authenticator, max_body_bytes=max_body_bytes)
    return [
        *routes,
        Route("/mcp/initialize", {"POST": initialize}),
        Route("/mcp/tools/list", {"POST": list_tools, "GET": list_tools}),
        Route("/sse", {"GET": http_sse.get}),
        Route(MESSAGES_PATH, {"POST": http_sse.post}),
    ]


def _health_routes(health: Health) -> list[Route]:
    endpoints = {"": health.get, "/live": health.live, "/ready": health.ready}
    return [
        Route(f"/health{path}", {"GET": endpoint, "HEAD": endpoint})
        for path, endpoint in endpoints.items()
    ]


def _session_routes(listing: RegistrationListing, unregister: Unregister) -> list[Route]:
    return [
        Route("/unregister", {"POST": unregister.post}),
        Route("/registrations", {"GET": listing.get}),
    ]


def _registration_routes(registrations: Registrations, *, any_origin: bool) -> list[Route]:
    endpoints: dict[str, Endpoint] = {"POST": registrations.post, "GET": registrations.get}
    paths = ("/register", "/api/register", "/mcp/register")
    return [Route(path, endpoints, any_origin=any_origin) for path in paths]


def _credentials(config: Config, secrets: SecretSource, backend: Backend) -> Credentials:
    if config.auth == "none":
        return Credentials(config, None, None)
    store = open_credentials(config, backend)
    is_empty = backend.credentials is None and not credentials_path(config).exists()
    return Credentials(config, secrets, store, is_empty=is_empty)


def _key_routes(credentials: Credentials) -> list[Route]:
    if credentials.store is None:
        return []
    keys = KeyEndpoint(credentials.store, credentials.authenticator, credentials.access)
    return [Route("/api/keys", {"GET": keys.get, "POST": keys.post, "DELETE": keys.delete})]
