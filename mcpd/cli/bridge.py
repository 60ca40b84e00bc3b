"""mcpd bridge"""

import argparse
import logging
import os
import signal
from pathlib import Path

import trio

from mcpd.auth.client_token import VARIABLE, ClientToken
from mcpd.bridge.relay import Bridge
from mcpd.cli.settings import DEFAULT_URL, add_settings, load_settings, run_loop
from mcpd.client.http_transport import HttpTransport
from mcpd.errors import ConfigError
from mcpd.files import open_private
from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin
from mcpd.rpc.lines import own_stdio, suppress_gone
from mcpd.start_failures import start_failure
from mcpd.telemetry.logs import LogWriter, set_up
from mcpd.version import __version__

log = logging.getLogger("mcpd.bridge")

MAX_LOG_BYTES = 1024 * 1024  # then the file begins anew; the one before is kept
_SETTINGS = frozenset({"state_dir", "log_format", "log_level"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    parser.add_argument(
        "url",
        nargs="?",
        default=DEFAULT_URL,
        metavar="URL",
        help=f"the MCP endpoint of the server (default: {DEFAULT_URL})",
    )
    parser.add_argument("--unix", type=Path, metavar="PATH", help="connect to a Unix socket")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"the token (default: ${VARIABLE})"
    )
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a header to send with every request; repeatable",
    )
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="certificates to trust, not the system's"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds to wait for a server that is away (default: 30)",
    )
    parser.add_argument(
        "--log-file", type=Path, metavar="FILE", help="(default: bridge.log in the state directory)"
    )
    add_settings(parser, only=_SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    """Carry messages until stdin ends."""
    config = load_settings(arguments).config
    file = arguments.log_file or config.state_path / "bridge.log"
    writer = LogWriter(_open_log(file), style=config.log_format)
    set_up(writer, config.log_level)
    credentials = ClientToken(arguments.token_file, os.environ)
    origin, target = resolve_origin(
        arguments.url, unix=arguments.unix, ca_file=arguments.ca_file, environ=os.environ
    )
    transport = HttpTransport(
        HttpClient(origin),
        target,
        credentials,
        url=arguments.url,
        wait_s=arguments.wait,
        socket=arguments.unix,
        headers=[_header(text) for text in arguments.header],
    )
    run_loop(_run, transport, writer)
    return 0


def _header(text: str) -> tuple[bytes, bytes]:
    name, equals, value = text.partition("=")
    usable = name.replace("-", "").isalnum() and text.isascii() and value.isprintable()
    if not equals or not usable:
        raise ConfigError("--header wants NAME=VALUE.", fix="Like --header X-Tenant=blue")
    return name.lower().encode("ascii"), value.strip().encode("ascii")


def _open_log(file: Path) -> int:
    """For appending, readable by its owner alone."""
    flags = os.O_WRONLY | os.O_APPEND
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = open_private(file, flags)
        if os.fstat(descriptor).st_size <= MAX_LOG_BYTES:
            return descriptor
        os.close(descriptor)
        file.replace(file.with_name(f"{file.name}.1"))
        return open_private(file, flags)
    except OSError as error:
        raise start_failure(
            error,
            f"The log file {file} cannot be opened: {error.strerror}.",
            fix="Give --log-file FILE.",
        ) from error


async def _run(transport: HttpTransport, writer: LogWriter) -> None:
    stdin, stdout = own_stdio()
    async with stdin, stdout, trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        nursery.start_soon(_stop_at_signal, nursery.cancel_scope)
        log.info("bridge %s, process %d, to %s", __version__, os.getpid(), transport.shown)
        with suppress_gone():
            await Bridge(transport, stdout).run(stdin)
        nursery.cancel_scope.cancel()


async def _stop_at_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        async for _ in received:
            scope.cancel()
