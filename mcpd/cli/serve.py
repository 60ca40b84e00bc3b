"""mcpd serve"""

import argparse
import faulthandler
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from mcpd.cli.settings import add_settings, load_settings, run_loop
from mcpd.config import Config
from mcpd.errors import EXIT_CONFIG, EXIT_MAY_PASS
from mcpd.server.assembly import Server
from mcpd.server.daemon import Daemon, raise_file_limit
from mcpd.server.environment import take_environment
from mcpd.server.private_files import warn_of_readable
from mcpd.server.stdio import run_stdio
from mcpd.server.supervisor import Supervisor
from mcpd.server.worker import read_inheritance
from mcpd.telemetry.descriptor import say
from mcpd.telemetry.logs import STDERR, LogWriter, set_up

log = logging.getLogger("mcpd.server")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    add_settings(parser)
    parser.add_argument(
        "--stdio", action="store_true", help="serve over stdin and stdout instead of HTTP"
    )

    parser.add_argument(
        "--check", action="store_true", help="say whether it could start, and do not serve"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    environ = take_environment(os.environ)  # before any code of an author runs
    inheritance = read_inheritance(environ)
    if inheritance is not None:
        environ |= inheritance.variables
    loaded = load_settings(arguments, environ)
    config = loaded.config
    if arguments.check:
        return _check(config, environ)
    under_systemd = "INVOCATION_ID" in environ or "NOTIFY_SOCKET" in environ
    writer = LogWriter(style=config.log_format, journald="JOURNAL_STREAM" in environ)
    set_up(writer, config.log_level)
    if inheritance is None:  # or each worker would say it
        warn_of_readable(loaded, environ)
    faulthandler.enable(STDERR)  # SIGABRT, which systemd's watchdog sends, leaves the stacks
    if arguments.stdio:
        return _run(partial(run_stdio, config, writer))
    raise_file_limit()

    def reload_config() -> Config:
        return load_settings(arguments, environ).config

    if config.workers > 1 and inheritance is None:
        return _run(Supervisor(config, environ, writer, _called(), reload_config=reload_config).run)
    quiet = under_systemd or (inheritance is not None and not inheritance.prints_next_step)
    daemon = Daemon(
        config,
        environ,
        writer,
        reload_config=reload_config,
        announce=_quiet if quiet else _print_next_step,
        inheritance=inheritance,
    )
    return _run(daemon.run)


def _check(config: Config, environ: Mapping[str, str]) -> int:
    """Print what was found; EXIT_CONFIG or EXIT_MAY_PASS if it could not start."""
    from mcpd.server.check import Check  # not for every start

    findings = run_loop(Check(config, environ).run)
    marks = {True: "ok  ", False: "FAIL", None: "note"}
    for finding in findings:
        print(f"{marks[finding.good]}  {finding.what:<11}  {finding.told}")
    bad = [finding for finding in findings if finding.good is False]
    if any(finding.lasts for finding in bad):
        return EXIT_CONFIG
    return EXIT_MAY_PASS if bad else 0


def _run(main: Callable[[], Awaitable[None]]) -> int:
    run_loop(main)
    return 0


def _quiet(server: Server, urls: list[str]) -> None:
    """Standard output of a service is not read."""


def _print_next_step(server: Server, urls: list[str]) -> None:
    """What to paste next."""
    url = urls[0]
    base = server.config.public_url or url
    state = ""
    if server.config.state_dir is not None:
        state = f" --state-dir {server.config.state_dir}"
    elif server.config.jwt_secret_file is not None:
        state = f" --jwt-secret-file {server.config.jwt_secret_file}"
    where = url if url.startswith("unix:") else f"{base}/mcp/"
    lines = [f"Serving {server.catalog.info['name']} at {where}", ""]
    if server.authenticator.required:
        lines += [
            "Make a token, and see that it works:",
            f"  TOKEN=$({_me()} token create --sub me{state})",
        ]
        header = ' -H "Authorization: Bearer $TOKEN"'
    else:
        lines += ["Authentication is off. See that it works:"]
        header = ""
    if url.startswith("unix:"):
        lines += [f"  curl --unix-socket {url[5:]} http://localhost/health"]
    else:
        lines += [
            f"  curl {base}/mcp/{header} -H 'Content-Type: application/json' \\",
            "    -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/list' -d '"
            '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{'
            '"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
            '"io.modelcontextprotocol/clientCapabilities":{}}}}\'',
        ]
        lines += [
            "",
            "Configure a client (claude-desktop, claude-code, cursor, vscode):",
            f"  {_me()} client-config claude-code --sub me --url {base}/mcp/{state}",
        ]
    say("\n".join(lines), sys.stdout)


def _me() -> str:
    """How this command was called, so that what is printed can be pasted."""
    called = sys.argv[0]
    return f"{sys.executable} -m mcpd" if called.endswith("__main__.py") else called


def _called() -> list[str]:
    """The whole command line, to call this program the same again."""
    called = sys.argv[0]
    program = ["-m", "mcpd"] if called.endswith("__main__.py") else [called]
    return [sys.executable, *program, *sys.argv[1:]]
