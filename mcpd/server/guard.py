"""Which hosts and origins the settings let in."""

from urllib.parse import urlsplit

from mcpd.config import Config
from mcpd.errors import ConfigError
from mcpd.http.guards import LOOPBACK_NAMES, CorsHeaders, Guard, host_name

_SHOWN_NAMES = (b"Mcp-Session-Id", b"X-Session-ID", b"MCP-Protocol-Version")
CORS = CorsHeaders(
    (*CorsHeaders().allowed, *_SHOWN_NAMES, b"Mcp-Method", b"Mcp-Name", b"X-API-Key"),
    allowed_prefix=b"mcp-param-",
    exposed=(*_SHOWN_NAMES, *CorsHeaders().exposed),
)


def make_guard(config: Config, *, local: bool) -> Guard:
    """Who may be named in Host and Origin."""
    hosts = set(LOOPBACK_NAMES) | {_host_setting("allow_host", name) for name in config.allow_host}
    origins = set(config.allow_origin)
    if config.public_url:
        public = urlsplit(config.public_url)
        hosts.add(_host_setting("public_url", public.netloc))
        origins.add(f"{public.scheme}://{public.netloc.lower()}")
    return Guard(
        frozenset(hosts),
        frozenset(origins),
        loopback_origins=not config.is_exposed,
        ip_literals=not local,
        this_machine_only=config.auth == "none",
        cors=CORS,
    )


def _host_setting(setting: str, value: str) -> str:
    name = host_name(value)
    if not name:
        raise ConfigError(
            f"{setting} names no host.", received=value, fix="mcp.example.org is one."
        )
    return name
