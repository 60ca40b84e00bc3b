"""mcpd calls: who called what, from which client, how long it took and what came of it."""

import argparse
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from mcpd.cli.credentials import read_moment, when
from mcpd.cli.settings import add_settings, load_settings
from mcpd.cli.token import parse_duration
from mcpd.errors import ConfigError
from mcpd.telemetry.call_entry import Entry
from mcpd.telemetry.call_table import FILE, read

COLUMNS = "{:19}  {:16}  {:24}  {:32}  {:>9}  {}"
LAST = 50
LOOK_EVERY_S = 0.5
TURN_ON = (
    "Start the server with --call-log-rows 100000, or give the --state-dir of the one that runs."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    parser.add_argument("--follow", action="store_true", help="go on with what comes")
    parser.add_argument(
        "--last", type=int, metavar="N", help=f"default: {LAST}, or all with --since"
    )
    parser.add_argument("--user", metavar="NAME", help="whose calls")
    parser.add_argument("--client", metavar="TEXT", help="whose name or version has this in it")
    parser.add_argument("--tool", metavar="NAME", help="or prompt, or resource")
    parser.add_argument("--failed", action="store_true", help="those that did not end well")
    parser.add_argument("--slower", metavar="TIME", help="those that took longer, like 2s")
    parser.add_argument("--since", metavar="TIME", help="like 15m, or 2026-12-31T12:00")
    parser.add_argument("--json", action="store_true", help="one object a line")
    add_settings(parser, only=frozenset({"state_dir"}))


def run(arguments: argparse.Namespace) -> int:
    """Print the newest, and with --follow what comes."""
    if arguments.last is None and arguments.since is None:
        arguments.last = LAST
    if arguments.last is not None and arguments.last < 1:
        raise ConfigError("--last is a number above zero.", received=arguments.last)
    folder = load_settings(arguments).config.state_path
    keep = _chosen(arguments)
    seen = _print(folder, keep, arguments, last=arguments.last)
    while arguments.follow:
        time.sleep(LOOK_EVERY_S)
        seen = _print(folder, keep, arguments, after=seen)
    return 0


def _chosen(arguments: argparse.Namespace) -> Callable[[Entry], bool]:
    """Whether an entry is asked for."""
    since = _since(arguments.since)
    slower = arguments.slower and parse_duration(arguments.slower, "--slower")
    client = None if arguments.client is None else arguments.client.lower()
    terms: list[tuple[object, Callable[[Entry], bool]]] = [
        (arguments.user, lambda entry: entry.user == arguments.user),
        (client, lambda entry: (client or "") in entry.client.lower()),
        (arguments.tool, lambda entry: entry.target == arguments.tool),
        (since, lambda entry: entry.at >= (since or 0.0)),
        (slower, lambda entry: entry.seconds >= (slower or 0.0)),
        (arguments.failed or None, lambda entry: entry.failed),
    ]
    given = [term for value, term in terms if value is not None]
    return lambda entry: all(term(entry) for term in given)


def _since(text: str | None) -> float | None:
    if text is None:
        return None
    if text[-1:].isalpha() and text[:-1].isdigit():
        return time.time() - parse_duration(text, "--since")
    return read_moment(text)


def _print(
    folder: Path,
    keep: Callable[[Entry], bool],
    arguments: argparse.Namespace,
    *,
    after: int | None = None,
    last: int | None = None,
) -> int:
    """The number after which others come that are not printed yet.

    Args:
        after: None: it is the first time.
    """
    seen = after or 0
    titled = after is None and not arguments.json
    if titled and (folder / FILE).exists():
        print(COLUMNS.format("TIME (UTC)", "USER", "CLIENT", "CALL", "MS", "OUTCOME"))
    try:
        for number, entry in read(folder, keep, after=seen, last=last):
            seen = number
            print(_json(entry) if arguments.json else _line(entry))
    except FileNotFoundError:
        raise ConfigError(f"There is no call log in {folder}.", fix=TURN_ON) from None
    except (sqlite3.Error, msgspec.DecodeError) as error:
        raise ConfigError(f"The call log in {folder} cannot be read: {error}.") from error
    sys.stdout.flush()
    return seen


def _line(entry: Entry) -> str:
    what = f"{entry.method} {entry.target}".strip()
    whose, client = entry.user or "-", entry.client or entry.address or "-"
    moment = when(entry.at, seconds=True)
    milliseconds = f"{entry.seconds * 1000:.1f}"
    return COLUMNS.format(moment, whose[:16], client[:24], what[:32], milliseconds, entry.outcome)


def _json(entry: Entry) -> str:
    return msgspec.json.encode(entry.shown()).decode()
