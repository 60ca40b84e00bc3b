"""mcpd log-level: more or less in the log of a running server, until it is reloaded."""

import argparse

from mcpd.cli.settings import add_settings, load_settings
from mcpd.cli.status import ask, find_server
from mcpd.server.folder_owner import within
from mcpd.server.operations import LEVELS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    parser.add_argument("level", choices=LEVELS)
    parser.add_argument("--pid", type=int, help="of one server, where several use the folder")
    add_settings(parser, only=frozenset({"state_dir"}))


def run(arguments: argparse.Namespace) -> int:
    """Change it in every process of the server."""
    shown_as = load_settings(arguments).config.state_path
    folder = within(shown_as)
    record = find_server(folder, arguments.pid, shown_as)
    ask(folder, record, "POST", "/log-level", arguments.level.encode("ascii"))
    print(f"the log level of process {record.pid} is {arguments.level}, until it is reloaded")
    return 0
