"""One app over stdin and stdout, for clients that start their servers as children."""

import math
from contextlib import AsyncExitStack

import trio

from mcpd.auth.seal import Sealer
from mcpd.config import Config
from mcpd.mcp.catalog.catalog import Host
from mcpd.mcp.transports.stdio import serve_stdio
from mcpd.rpc.lines import own_stdio, suppress_gone
from mcpd.server.apps import enter_lifespans, load_apps
from mcpd.server.backends import memory_backend
from mcpd.server.services import make_services
from mcpd.sessions.service import Sessions
from mcpd.telemetry.logs import LogWriter


async def run_stdio(config: Config, writer: LogWriter) -> None:
    """Serve until stdin ends. Nothing but messages goes to stdout; prints go to stderr.

    Raises:
        ConfigError: the apps cannot be loaded.
    """
    stdin, stdout = own_stdio()
    host = Host(load_apps(config.app), page_size=config.page_size, tool_threads=config.tool_threads)
    backend = memory_backend()
    sessions = Sessions(backend.store, timeout_s=math.inf)  # it lives as long as the pipe
    services = make_services(
        host,
        sessions,
        Sealer("request state"),
        backend,
        calls_per_minute=config.calls_per_minute,
        request_timeout_s=config.request_timeout_s,
    )
    async with stdin, stdout, trio.open_nursery() as upkeep:
        await upkeep.start(writer.run)
        await upkeep.start(services.running.run)
        services.start_upkeep(upkeep)
        async with AsyncExitStack() as lifespans:
            await enter_lifespans(lifespans, host, config.state_path)
            with suppress_gone():
                await serve_stdio(services, stdin, stdout, max_line_bytes=config.max_body_bytes)
        upkeep.cancel_scope.cancel()
