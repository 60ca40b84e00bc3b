"""mcpd record: put a proxy before a server, and write down what a client says to it."""

import argparse
import datetime
import os
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import trio

from mcpd.auth.client_token import VARIABLE
from mcpd.cli.settings import run_loop
from mcpd.errors import ConfigError
from mcpd.files import write_private
from mcpd.http.client import HttpClient
from mcpd.http.origin import Origin, resolve_origin
from mcpd.replay.recorder import Recorder
from mcpd.replay.rewriting import Rewriter
from mcpd.replay.transcript import write
from mcpd.replay.transcript_writer import compose
from mcpd.start_failures import start_failure

SETTLE_S = 0.5  # for what is still on its way when the client has ended
COMMAND_S = 60.0  # for the client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    parser.add_argument("--upstream", required=True, metavar="URL", help="the server's endpoint")
    parser.add_argument(
        "--listen", type=int, default=0, metavar="PORT", help="(default: a free one)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where files go")
    parser.add_argument("--client", default="client", metavar="NAME", help="who is recorded")
    parser.add_argument("--version-of", default="", metavar="TEXT", help="its package and version")
    parser.add_argument("--scenario", default="session", metavar="NAME", help="what it does")
    parser.add_argument("--server", default="", metavar="TEXT", help="what is behind the proxy")
    parser.add_argument(
        "command",
        nargs="*",
        metavar="COMMAND",
        help="run this client with MCP_URL set, and stop when it ends (put -- before it);"
        " without one, stop with Ctrl-C",
    )


def run(arguments: argparse.Namespace) -> int:
    """Record one conversation into one file."""
    for name in (arguments.client, arguments.scenario):
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
            raise ConfigError("Names are small letters, digits, dots and dashes.", received=name)
    origin, target = resolve_origin(arguments.upstream)
    code, recorder, base = run_loop(_record, arguments, origin, target)
    if not recorder.seen:
        ended = f" The command ended with {code}." if arguments.command else ""
        raise ConfigError(
            f"Nothing came through the proxy.{ended}",
            fix="The client has to connect to it; a command finds its URL in MCP_URL.",
        )
    if not any(observation.kind == "response" for observation in recorder.seen):
        raise ConfigError(
            f"{arguments.upstream} answered nothing, so nothing is kept.",
            fix="Is the server running, and the URL right?",
        )
    if all(o.status == 401 for o in recorder.seen if o.kind == "response"):
        print(f"mcpd: every answer was 401; set {VARIABLE} if that is not meant", file=sys.stderr)
    head = {
        "client": f"{arguments.client} ({arguments.version_of})".replace(" ()", ""),
        "scenario": arguments.scenario,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": " ".join(arguments.command) or "by hand",
        "server": arguments.server or "unknown",
    }
    transcript = compose(
        recorder.seen,
        head,
        secrets=[os.environ.get(VARIABLE, "")],
        base=base,
        upstream=base_of(origin),
        now=time.time(),
    )
    file = arguments.out / arguments.client / f"{arguments.scenario}.txt"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, write(transcript))
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written: {error.strerror}.", fix="Give another --out DIR."
        ) from error
    print(f"wrote {file}: {len(transcript.entries)} entries", file=sys.stderr)
    return code


def base_of(origin: Origin) -> str:
    """The URL of a server without its path."""
    return f"{origin.scheme}://{origin.authority.decode('ascii')}"


async def _record(
    arguments: argparse.Namespace, origin: Origin, target: str
) -> tuple[int, Recorder, str]:
    code = 0
    try:
        listeners = await trio.open_tcp_listeners(arguments.listen, host="127.0.0.1")
    except OSError as error:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        raise start_failure(
            cause,
            f"Port {arguments.listen} cannot be listened on: {cause.strerror}.",
            fix="Give another --listen PORT, or none.",
        ) from error
    base = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    client = HttpClient(origin)
    recorder = Recorder(client, Rewriter(base_of(origin), base))
    url = base + (urlsplit(target).path or "/")
    print(f"recording at {url}", file=sys.stderr, flush=True)
    async with client, trio.open_nursery() as nursery:
        nursery.start_soon(recorder.serve, listeners)
        if arguments.command:
            code = await trio.to_thread.run_sync(partial(_run_client, arguments.command, url))
            await trio.sleep(SETTLE_S)
        else:
            with trio.open_signal_receiver(2, 15) as received:
                async for _ in received:
                    break
        nursery.cancel_scope.cancel()
    return code, recorder, base


def _run_client(command: list[str], url: str) -> int:
    environ = {**os.environ, "MCP_URL": url, "MCP_TOKEN": os.environ.get(VARIABLE, "")}
    try:
        return subprocess.run(command, env=environ, timeout=COMMAND_S, check=False).returncode
    except subprocess.TimeoutExpired:
        return 124
    except OSError as error:
        raise start_failure(error, f"{command[0]} cannot be run: {error.strerror}.") from error
