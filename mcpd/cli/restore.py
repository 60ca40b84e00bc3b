"""mcpd restore: make a state directory of a backup."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from mcpd.cli.settings import add_settings, load_settings
from mcpd.errors import Unavailable
from mcpd.operations.restore import restore
from mcpd.server.neighbours import running_servers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--force",
        action="store_true",
        help="even if it is not empty: what is in it is kept",
    )
    add_settings(parser, only=frozenset({"state_dir"}))


def run(arguments: argparse.Namespace) -> int:
    """Restore it, if no server uses the directory."""
    folder = load_settings(arguments).config.state_path
    for record in running_servers(folder):
        raise Unavailable(
            f"{folder} is in use by {record}.", fix=f"Stop it first: {record.how_to_stop}"
        )
    manifest, aside = restore(arguments.file, folder, replace=arguments.force)
    when = datetime.fromtimestamp(manifest.created, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    print(f"{folder} is as it was at {when}, of mcpd {manifest.version}")
    print("what was revoked since is not revoked there: revoke it again")
    if aside is not None:
        print(f"what was there before is in {aside}, with its secrets")
    return 0
