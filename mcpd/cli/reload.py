"""mcpd reload"""

import argparse
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from mcpd.cli.settings import add_settings, load_settings
from mcpd.errors import EXIT_FAILURE, ConfigError, Unavailable
from mcpd.server.neighbours import ServerRecord, mark_variables, running_servers
from mcpd.telemetry.descriptor import say

ANSWER_S = 20.0  # for the server to say what came of it; above what its workers get
LOOK_S = 0.05  # between looks
_SETTINGS = frozenset({"state_dir"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    parser.add_argument(
        "pid", type=int, nargs="?", metavar="PID", help="of the server, where several run"
    )
    add_settings(parser, only=_SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    """Tell a server to read its settings again; 0 if they are in force."""
    state_path = load_settings(arguments).config.state_path
    before = _find(state_path, arguments.pid)
    try:
        os.kill(before.pid, signal.SIGHUP)
    except OSError as error:
        raise ConfigError(
            f"Process {before.pid} cannot be told to reload: {error.strerror}.",
            fix="Run this as the user of the server, or as root.",
        ) from error
    after = _wait(state_path, before)
    say(f"mcpd: {after.reload_told}")
    if waiting := _changed_variables(after, os.environ):
        say(f"mcpd: set otherwise in the environment, in force after a restart: {waiting}")
    return EXIT_FAILURE if after.reload_failed else 0


def _find(state_path: Path, pid: int | None) -> ServerRecord:
    found = [one for one in running_servers(state_path) if pid is None or one.pid == pid]
    if not found:
        which = "No server" if pid is None else f"No server with process id {pid}"
        raise ConfigError(
            f"{which} runs with the state directory {state_path}, or it is another user's.",
            fix="Give the --state-dir of the server, and run this as its user.",
        )
    if len(found) > 1:
        raise ConfigError(
            f"Several servers run with the state directory {state_path}.",
            fix="Name one: " + "; ".join(f"mcpd reload {one.pid}" for one in found),
        )
    return found[0]


def _wait(state_path: Path, before: ServerRecord) -> ServerRecord:
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        for record in running_servers(state_path):
            if record.pid == before.pid and record.reloads != before.reloads:
                return record
        time.sleep(LOOK_S)
    raise Unavailable(
        f"Process {before.pid} did not say within {ANSWER_S:g} s what came of it.",
        fix="Its log has the reason.",
    )


def _changed_variables(record: ServerRecord, environ: Mapping[str, str]) -> str:
    """Names of variables that systemd would give another value now than at the start; empty where
    this is not the reload command of the same unit.
    """
    if not record.invocation or environ.get("INVOCATION_ID", "")[:32] != record.invocation:
        return ""
    now, then = mark_variables(environ, record.invocation), record.variables
    return ", ".join(sorted(name for name in {*now, *then} if now.get(name) != then.get(name)))
