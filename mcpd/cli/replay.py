"""mcpd replay: play recorded conversations against a server."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from mcpd.auth.client_token import VARIABLE, ClientToken
from mcpd.cli.settings import run_loop
from mcpd.errors import EXIT_FAILURE, ConfigError
from mcpd.http.origin import resolve_origin
from mcpd.replay.library import find, transcripts
from mcpd.replay.player import Played, Player, play_all
from mcpd.replay.report import Verdict, as_html, as_junit, as_text, read_expected
from mcpd.replay.requirements import needs_of
from mcpd.replay.survey import NotThere, Where, survey
from mcpd.replay.transcript import Transcript, read
from mcpd.start_failures import start_failure

FORMS = {".xml": as_junit, ".html": as_html}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="DIR|FILE|CLIENT|CLIENT/SCENARIO",
        help="transcripts (default: all that come with mcpd)",
    )
    parser.add_argument("--url", required=True, metavar="URL", help="the server's MCP endpoint")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"a token (default: ${VARIABLE})",
    )
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="certificates to trust")
    parser.add_argument(
        "--expected", type=Path, metavar="FILE", help="known failures: CLIENT/SCENARIO REASON"
    )
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="transcripts at a time")
    parser.add_argument(
        "--report",
        action="append",
        default=[],
        metavar="FILE.xml|FILE.html|-",
        help="JUnit, a page, or text on stdout; repeatable (default: -)",
    )


def run(arguments: argparse.Namespace) -> int:
    """0 if everything went as expected."""
    logging.getLogger("mcpd").addHandler(logging.NullHandler())  # the report says it
    reports = [(name, _form(name)) for name in arguments.report or ["-"]]
    paths = [find(name) for name in arguments.paths] or [transcripts()]
    wanted = _read_all(paths)
    expected = {}
    if arguments.expected is not None:
        expected = read_expected(_text(arguments.expected))
    credentials = ClientToken(arguments.token_file, os.environ)
    origin, target = resolve_origin(arguments.url, ca_file=arguments.ca_file, environ=os.environ)
    where = Where(origin, target, credentials)
    played = run_loop(_play, where, wanted, max(1, arguments.at_once))
    everything = any(path.is_dir() for path in paths)
    verdict = Verdict(played.outcomes, expected, everything=everything, error=played.gone)
    for name, form in reports:
        _write(name, form(verdict))
    return 0 if verdict.passed else EXIT_FAILURE


async def _play(where: Where, wanted: list[Transcript], at_once: int) -> Played:
    streams = {needs_of(one).stream for one in wanted} - {""}
    try:
        profile = await survey(where, streams)
    except NotThere as error:
        return Played([], f"{error.message} {error.fix}".strip())
    player = Player(where.origin, profile.target, where.credentials.token)
    return await play_all(player, wanted, at_once, profile=profile)


def _read_all(paths: list[Path]) -> list[Transcript]:
    found = []
    for path in paths:
        files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
        found += [read(_text(file), f"{file.parent.name}/{file.stem}") for file in files]
    if not found:
        raise ConfigError("There are no transcripts.", fix="Name a folder that holds some.")
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(
            f"{file} cannot be read: {told}.",
            fix="Name files or folders of transcripts; mcpd record makes some.",
        ) from error


def _form(name: str) -> Callable[[Verdict], str]:
    """How this report is written; told before anything is played."""
    form = as_text if name == "-" else FORMS.get(Path(name).suffix)
    if form is None:
        raise ConfigError("--report wants FILE.xml, FILE.html or -.", received=name)
    if not Path(name).parent.is_dir():
        raise ConfigError("The folder of the report is not there.", received=name)
    return form


def _write(name: str, text: str) -> None:
    if name == "-":
        sys.stdout.write(text)
        return
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise start_failure(error, f"{name} cannot be written: {error.strerror}.") from error
