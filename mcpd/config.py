"""Settings: defaults, a TOML file, the environment, flags; each beats the one before.

One table, the fields of Config, names every setting for all of them: ``max_body_bytes`` in the
file is ``MCPD_MAX_BODY_BYTES`` and ``--max-body-bytes``. What is no single value, such as roles, is
in tables of the file alone.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, get_type_hints
from urllib.parse import urlsplit

from mcpd.access.rules import TABLES, AccessRules, read_rules
from mcpd.errors import ConfigError
from mcpd.http.bounds import Bounds
from mcpd.limits import caps
from mcpd.setting_sources import ENV_PREFIX, read_environ, read_file
from mcpd.setting_types import convert

_BOUNDS = Bounds()


def _setting(default: Any, help_text: str, metavar: str = "") -> Any:
    return field(default=default, metadata={"help": help_text, "metavar": metavar})


def _tables(default: Any) -> Any:
    return field(default=default, metadata={"tables": True})


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting with its default."""

    # where
    host: str = _setting("127.0.0.1", "address to listen on", "ADDRESS")
    port: int = _setting(8000, "TCP port; 0 picks a free one", "PORT")
    unix: Path | None = _setting(None, "listen on a Unix socket instead of TCP", "PATH")
    tls_certificate: Path | None = _setting(None, "PEM file: certificate and its chain", "FILE")
    tls_key: Path | None = _setting(None, "PEM file: private key", "FILE")
    public_url: str | None = _setting(None, "how clients reach this server", "URL")
    # what
    app: tuple[str, ...] = _setting((), "app to serve; repeatable", "FILE.py:NAME|MODULE:NAME")
    page_size: int = _setting(100, "tools in one page of tools/list", "N")
    tool_threads: int = _setting(40, "plain (not async) tools that run at once", "N")
    handshake: bool = _setting(True, "serve revisions up to 2025-11-25, which have sessions")
    workers: int = _setting(1, "processes that serve", "N")
    # state
    state_dir: Path | None = _setting(None, "folder for databases and the secret", "DIR")
    store: str = _setting("sqlite", "memory, sqlite, sqlite:PATH or a URL of Redis", "STORE")
    session_timeout_s: float = _setting(3600.0, "seconds until an idle session is gone", "S")
    max_unauthenticated_sessions: int = _setting(
        10_000, "sessions that may wait for their first authenticated request", "N"
    )
    # who
    auth: Literal["jwt", "none"] = _setting("jwt", "none only on loopback")
    jwt_secret_file: Path | None = _setting(None, "secrets, one a line; the first signs", "FILE")
    jwt_issuer: str | None = _setting(None, "required iss of tokens", "ISSUER")
    jwt_audience: str | None = _setting(None, "required aud of tokens", "AUDIENCE")
    api_key_header: bool = _setting(False, "take API keys in X-API-Key as well")
    jwt_leeway_s: float = _setting(10.0, "tolerated difference between clocks", "S")
    allow_host: tuple[str, ...] = _setting((), "name this server answers for; repeatable", "NAME")
    allow_origin: tuple[str, ...] = _setting((), "web origin that may call; repeatable", "ORIGIN")
    trusted_proxies: tuple[str, ...] = _setting(
        (), "address or network whose X-Forwarded headers are believed; repeatable", "CIDR"
    )
    production: bool = _setting(False, "no convenience for local development")
    registrations_per_minute: float = _setting(30.0, "for each address", "N")
    calls_per_minute: float = _setting(1_000_000.0, "of tools, for each user", "N")
    limit_loopback: bool = _setting(False, "apply limits per address to loopback too")
    # bounds
    max_head_bytes: int = _setting(_BOUNDS.max_head_bytes, "of a request head", "BYTES")
    max_body_bytes: int = _setting(_BOUNDS.max_body_bytes, "of a request body", "BYTES")
    max_body_memory_bytes: int = _setting(
        caps.BODIES.in_all, "of all request bodies in memory; one user gets a quarter", "BYTES"
    )
    head_timeout_s: float = _setting(_BOUNDS.head_timeout_s, "for a request head to arrive", "S")
    body_timeout_s: float = _setting(_BOUNDS.body_timeout_s, "for a request body to arrive", "S")
    idle_timeout_s: float = _setting(_BOUNDS.idle_timeout_s, "for an idle connection", "S")
    write_timeout_s: float = _setting(_BOUNDS.write_timeout_s, "for a peer to read", "S")
    request_timeout_s: float = _setting(_BOUNDS.request_timeout_s, "for one request", "S")
    heartbeat_s: float = _setting(_BOUNDS.heartbeat_s, "between comments on quiet streams", "S")
    max_connections: int = _setting(_BOUNDS.max_connections, "open at once", "N")
    max_connections_per_address: int = _setting(
        _BOUNDS.max_connections_per_address, "open at once from one address", "N"
    )
    max_sessions_per_user: int = _setting(
        1000, "kept of one user; beyond it those go that are idle for longest", "N"
    )
    max_calls_per_user: int = _setting(caps.CALLS.each, "of one user's sessions at once", "N")
    max_calls: int = _setting(caps.CALLS.in_all, "of all sessions at once", "N")
    max_streams_per_user: int = _setting(caps.STREAMS.each, "open-ended event streams", "N")
    max_streams: int = _setting(caps.STREAMS.in_all, "open-ended event streams in all", "N")
    max_tasks_per_user: int = _setting(caps.TASKS.each, "of one user until they expire", "N")
    max_tasks: int = _setting(caps.TASKS.in_all, "of all users until they expire", "N")
    max_result_bytes: int = _setting(
        caps.MAX_RESULT_BYTES, "of a result; a tool may have an option of its own", "BYTES"
    )
    left_call_timeout_s: float = _setting(
        _BOUNDS.left_call_timeout_s, "for a call whose client left and does not come back", "S"
    )
    # Enough for a busy keep-alive connection to be used once more, and not felt at a stop by hand.
    lame_duck_s: float = _setting(
        1.0, "before draining: not ready, accepting, each answer ends its connection", "S"
    )
    drain_timeout_s: float = _setting(20.0, "for running requests when stopping", "S")
    # what it tells
    metrics: str | None = _setting(
        None, "where Prometheus scrapes: 127.0.0.1:9464 or unix:PATH", "ADDRESS"
    )
    traces: bool = _setting(False, "send spans by OTLP, as OTEL_EXPORTER_OTLP_ENDPOINT says")
    log_format: Literal["text", "json"] = _setting("text", "text or JSON lines")
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "least severity")
    call_log_rows: int = _setting(0, "calls kept for mcpd calls; 0: none", "N")
    call_log_file: str | None = _setting(
        None, "JSON lines of calls: a file, or log: in the log", "PATH"
    )
    call_log_file_bytes: int = _setting(100_000_000, "of that file, until another begins", "BYTES")
    call_log_files: int = _setting(5, "of those that are kept beside it", "N")
    call_log_arguments: Literal["off", "hashed", "redacted"] = _setting(
        "off", "what the call log has of arguments"
    )
    call_log_redact: tuple[str, ...] = _setting(
        (), "argument whose value is not kept, * for any text; repeatable", "NAME"
    )
    access_log: bool = _setting(True, "a line for every request")
    # who may do what: tables of the file alone
    access: AccessRules = _tables(AccessRules())

    @property
    def is_exposed(self) -> bool:
        """Whether others than this machine are to reach it: then nothing is left open that is meant
        for local development.
        """
        public = urlsplit(self.public_url).hostname if self.public_url else None
        named = public is not None and not is_loopback_host(public)
        return self.production or named or bool(self.trusted_proxies)

    def bounds(self) -> Bounds:
        """The part that the HTTP layer knows."""
        names = {f.name for f in fields(Bounds)} & {f.name for f in fields(self)}
        return replace(_BOUNDS, **{name: getattr(self, name) for name in names})

    @property
    def state_path(self) -> Path:
        """The state directory, which systemd may give (StateDirectory=)."""
        return self.state_dir or default_state_dir(os.environ)


HINTS = get_type_hints(Config)
SETTINGS = [f for f in fields(Config) if "tables" not in f.metadata]
NAMES = [f.name for f in SETTINGS]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The effective settings, and where each that is no default came from."""

    config: Config
    origins: Mapping[str, str]


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """STATE_DIRECTORY of systemd, else the XDG state directory."""
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    base = environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "mcpd"


def load(
    *, flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None
) -> Loaded:
    """Put the sources together.

    Raises:
        ConfigError: an unknown setting, a value of the wrong kind, or an unsafe combination;
            names the source.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    file = file or (Path(environ["MCPD_CONFIG"]) if environ.get("MCPD_CONFIG") else None)
    sources: list[tuple[str, Mapping[str, Any]]] = []
    if file is not None:
        settings, tables = read_file(file, NAMES, TABLES)
        sources.append((str(file), settings))
        if tables:
            values["access"] = read_rules(tables, str(file))
            origins["access"] = str(file)
    sources.append(("environment", read_environ(environ, NAMES)))
    sources.append(("flag", {name: value for name, value in flags.items() if value is not None}))
    for origin, source in sources:
        for name, value in source.items():
            values[name] = convert(name, HINTS[name], value, origin)
            origins[name] = f"${ENV_PREFIX}{name.upper()}" if origin == "environment" else origin
    config = Config(**values)
    _check(config)
    return Loaded(config, origins)


def _check(config: Config) -> None:
    """Combinations that make no sense or are not safe."""
    if (config.tls_certificate is None) != (config.tls_key is None):
        raise ConfigError("tls_certificate and tls_key come together.")
    if config.auth == "none" and not (config.unix or is_loopback_host(config.host)):
        raise ConfigError(
            "auth = none is only possible on loopback.",
            received=config.host,
            fix="Listen on 127.0.0.1, or use tokens.",
        )
    if config.auth == "none" and config.is_exposed:
        raise ConfigError(
            "auth = none serves this machine alone; public_url, trusted_proxies and production are"
            " for others.",
            fix="Leave auth out and use tokens, or leave the others out.",
        )
    if config.public_url and not config.public_url.startswith(("http://", "https://")):
        raise ConfigError("public_url must be an http or https URL.", received=config.public_url)
    if config.port > 65535:
        raise ConfigError("port is at most 65535.", received=config.port)
    if config.call_log_rows < 0:
        raise ConfigError("call_log_rows must not be below zero.", received=config.call_log_rows)
    for name in _ABOVE_ZERO:
        if getattr(config, name) <= 0:
            raise ConfigError(f"{name} must be above zero.", received=getattr(config, name))
    _check_names(config)


_ABOVE_ZERO = (
    "workers", "session_timeout_s", "page_size", "tool_threads", "max_head_bytes", "max_body_bytes",
    "head_timeout_s", "body_timeout_s", "idle_timeout_s", "write_timeout_s", "request_timeout_s",
    "calls_per_minute", "heartbeat_s", "max_connections", "max_connections_per_address",
    "max_sessions_per_user", "call_log_file_bytes", "max_result_bytes", "left_call_timeout_s",
    *caps.SETTINGS,
)  # fmt: skip


def _check_names(config: Config) -> None:
    for host in config.allow_host:
        if not host or set(host) & set("/@ "):
            raise ConfigError("allow_host is a name like mcp.example.org.", received=host)
    for origin in config.allow_origin:
        scheme, separator, rest = origin.partition("://")
        if not (scheme and separator and rest) or "/" in rest:
            raise ConfigError("allow_origin is like https://app.example.org.", received=origin)


def is_loopback_host(host: str) -> bool:
    """Whether listening there reaches this machine alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
