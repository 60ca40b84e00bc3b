"""The command. One file a verb; verbs are imported when they are used, so that each starts fast."""

import argparse
import importlib
import sys
from collections.abc import Collection, Sequence
from types import ModuleType

from mcpd.errors import McpdError
from mcpd.server.exit_codes import exit_code
from mcpd.telemetry.descriptor import say
from mcpd.version import __version__

VERBS = {
    "serve": "run the server",
    "reload": "have a running server read its settings and secrets again; fail if it cannot",
    "status": "show what a running server does: its tools, clients, limits and last errors",
    "log-level": "change the log level of a running server",
    "config": "print the settings in force and where they come from, or an example file",
    "bridge": "connect a client that starts its servers as children to an HTTP server",
    "token": "create, inspect and revoke tokens",
    "key": "create, list and revoke API keys",
    "client-config": "print, or write, what a client needs to connect",
    "calls": "show who called what, from the call log of a server",
    "sessions": "look at a store, end sessions, move them to another store",
    "backup": "write the state directory into a file, while its server runs",
    "restore": "make a state directory of a backup",
    "record": "write down what a client says to a server",
    "replay": "play recorded conversations against a server",
    "doctor": "tell which clients will work with a server, and what fixes it",
    "completion": "print what completes mcpd's words in a shell",
    "man": "print the manual page",
    "version": "print the version",
}


def make_parser(
    wanted: Collection[str],
) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser], dict[str, ModuleType]]:
    """The parser of the command, that of each verb, and the modules of some verbs.

    Args:
        wanted: verbs that are imported, so that they have their flags.
    """
    parser = argparse.ArgumentParser(
        prog="mcpd", description="A daemon that serves the Model Context Protocol."
    )
    parser.add_argument("--version", action="version", version=f"mcpd {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    modules, parsers = {}, {}
    for verb, help_text in VERBS.items():
        parsers[verb] = sub = verbs.add_parser(
            verb, help=help_text, description=help_text.capitalize() + "."
        )
        if verb in wanted:
            modules[verb] = importlib.import_module(f"mcpd.cli.{verb.replace('-', '_')}")
            modules[verb].add_arguments(sub)
    return parser, parsers, modules


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in given if word in VERBS), None)
    parser, parsers, modules = make_parser([] if chosen is None else [chosen])
    arguments, unknown = parser.parse_known_args(given)
    if unknown:
        parsers[arguments.verb].error(_unknown(unknown[0], parsers[arguments.verb]))
    try:
        return int(modules[arguments.verb].run(arguments))
    except McpdError as error:
        say(f"mcpd: {error.message}{_received(error)}")
        if error.fix:
            say(f"mcpd: {error.fix}")
        return exit_code(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1


def _unknown(word: str, parser: argparse.ArgumentParser) -> str:
    """Names a flag; any other word may be a token, so it is not repeated."""
    word = word.partition("=")[0]
    if not word.startswith("-"):
        return "a word too many, not shown since it may be a secret; give a token on standard input"
    import difflib  # not for every start
    import re

    flags = re.findall(r"--[\w-]+", parser.format_help())
    close = difflib.get_close_matches(word, flags, 1)
    return f"{word} means nothing here" + (f"; did you mean {close[0]}?" if close else "")


def _received(error: McpdError) -> str:
    return "" if error.received is None else f" (received: {error.received})"
