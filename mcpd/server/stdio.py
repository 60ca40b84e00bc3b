"""One app over stdin and stdout, for clients that start their servers as children."""

import math
from collections.abc import Sequence

import trio

from mcpd.auth.access_control import AccessControl
from mcpd.auth.seal import Sealer
from mcpd.config import Config
from mcpd.limits.policy import make_limits
from mcpd.limits.rules import LimitRules
from mcpd.mcp.catalog.catalog import Catalog
from mcpd.mcp.catalog.provider import Provider
from mcpd.mcp.runtime import Runtime, make_runtime
from mcpd.mcp.transports.stdio import serve_stdio
from mcpd.observer import Observer
from mcpd.rpc.lines import own_stdio, suppress_gone
from mcpd.server.apps import load_apps
from mcpd.server.assembly import make_caps
from mcpd.server.backends import memory_backend
from mcpd.server.running import running
from mcpd.server.watchdog import Watchdog
from mcpd.sessions.backend import Backend
from mcpd.sessions.service import Sessions
from mcpd.telemetry.logs import LogWriter


def build(config: Config, providers: Sequence[Provider] | None = None) -> tuple[Backend, Runtime]:
    """What one client is served with; it lives as long as the pipe.

    Args:
        providers: served in the place of the apps that the settings name.

    Raises:
        ConfigError: the apps cannot be loaded.
        DeclarationError: the apps cannot be served together.
    """
    catalog = Catalog(
        load_apps(config.app) if providers is None else providers,
        page_size=config.page_size,
        tool_threads=config.tool_threads,
    )
    backend = memory_backend()
    runtime = make_runtime(
        catalog,
        Sessions(backend.store, timeout_s=math.inf, clock=backend.clock),
        Sealer("request state"),
        backend,
        make_limits(
            caps=make_caps(config),
            max_result_bytes=config.max_result_bytes,
        ),
        Observer(),
        AccessControl(config.access, LimitRules(calls_per_minute=config.calls_per_minute)),
        request_timeout_s=config.request_timeout_s,
    )
    return backend, runtime


async def run_stdio(config: Config, writer: LogWriter) -> None:
    """Serve until stdin ends. Nothing but messages goes to stdout; prints go to stderr.

    Raises:
        ConfigError, DeclarationError: see ``build``.
    """
    stdin, stdout = own_stdio()
    backend, runtime = build(config)
    async with stdin, stdout, trio.open_nursery() as outer:
        await outer.start(writer.run)
        outer.start_soon(Watchdog(runtime.catalog.threads, writer.flush).run)
        async with running(backend, runtime, config.state_path):
            with suppress_gone():
                await serve_stdio(runtime, stdin, stdout, max_line_bytes=config.max_body_bytes)
        outer.cancel_scope.cancel()
