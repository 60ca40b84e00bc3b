"""mcpd backup: a state directory as one file, while its server runs."""

import argparse
import sys
from pathlib import Path

from mcpd.cli.settings import add_settings, load_settings
from mcpd.operations.backup import back_up
from mcpd.server.backends import is_shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--force", action="store_true", help="replace the file if there is one")
    add_settings(parser, only=frozenset({"state_dir", "store"}))


def run(arguments: argparse.Namespace) -> int:
    """Write it, and say what is in it."""
    config = load_settings(arguments).config
    manifest = back_up(config.state_path, arguments.file, replace=arguments.force)
    size = sum(file.size for file in manifest.files)
    print(f"{arguments.file}: {len(manifest.files)} files, {size} bytes; keep it secret")
    if is_shared(config):
        print("mcpd: sessions and API keys are in Redis, and not in it", file=sys.stderr)
    return 0
