"""mcpd config: the settings in force, and where each comes from; or a file to begin with."""

import argparse
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mcpd.access.rules import AccessRules
from mcpd.cli.settings import add_settings, load_settings
from mcpd.config import SETTINGS, Loaded
from mcpd.server.jwt_secrets import ENV_SECRET
from mcpd.setting_sources import ENV_PREFIX

# In the address of a store; one that is not percent-encoded may hold any sign.
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PASSWORDS = re.compile(r"(?i)(password=)[^&#]*|(://[^:/@]*:|://).*(?=@)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb: those of ``serve``, so that it can be asked what they would make."""
    parser.add_argument(
        "--example", action="store_true", help="a commented file with every setting's default"
    )
    parser.add_argument("--all", action="store_true", help="defaults as well")
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print TOML, which ``--config`` reads; nothing secret is in it."""
    if arguments.example:
        print(example(), end="")
        return 0
    loaded = load_settings(arguments)
    print(in_force(loaded, everything=arguments.all), end="")
    if arguments.all:
        print(f"# JWT_SECRET_KEY: {'set, not shown' if os.environ.get(ENV_SECRET) else 'not set'}")
    if not loaded.origins and not arguments.all:
        print("mcpd: every setting has its default; --all shows them", file=sys.stderr)
    return 0


def in_force(loaded: Loaded, *, everything: bool) -> str:
    """The settings as TOML, each with where it comes from. No setting is a secret but the password
    in the address of a store; the others are read from files and from the environment.
    """
    lines = []
    for setting in SETTINGS:
        origin = loaded.origins.get(setting.name)
        if origin is None and not everything:
            continue
        value = getattr(loaded.config, setting.name)
        if setting.name == "state_dir":
            value = loaded.config.state_path
        lines.append(f"{_line(setting.name, value)}  # {_origin(origin)}\n")
    return "".join(lines) + tables(loaded.config.access, loaded.origins.get("access", ""))


def tables(rules: AccessRules, origin: str) -> str:
    """The tables of who may do what, as TOML."""
    parts = []
    for name, table in msgspec.to_builtins(rules).items():
        parts += _table(name, table, origin)
    return "".join(parts)


def _table(name: str, table: Mapping[str, Any], origin: str) -> list[str]:
    nested = {key: value for key, value in table.items() if isinstance(value, dict)}
    plain = {k: v for k, v in table.items() if k not in nested and v is not None}
    lines = [f"{_toml_key(key)} = {_toml(value)}\n" for key, value in plain.items()]
    parts = [f"\n[{name}]  # {origin}\n{''.join(lines)}"] if plain else []
    for key, value in nested.items():
        parts += _table(f"{name}.{_toml_key(key)}", value, origin)
    return parts


def _toml_key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _toml(name)


def example() -> str:
    """Every setting with what it is and its default, commented out."""
    parts = [
        "# Settings of mcpd. Give this file with --config, or in MCPD_CONFIG. The environment"
        f" ({ENV_PREFIX}PORT=8000)\n# beats it, and flags (--port 8000) beat both.\n"
    ]
    for setting in SETTINGS:
        metavar = setting.metadata["metavar"]
        told = setting.metadata["help"] + (f": {metavar}" if metavar else "")
        line = _line(setting.name, setting.default)
        parts.append(f"\n# {told}\n{line if line.startswith('#') else f'# {line}'}\n")
    return "".join(parts) + _EXAMPLE_TABLES


_EXAMPLE_TABLES = """
# Who may do what, below all settings since these are tables. Without roles, every user may do what
# the scopes of the token or key allow.

# [roles.reader]
# tools = ["get_*", "list_*"]  # names; !NAME takes one away; also: resources, prompts
# scopes = ["files:read"]  # that its holders may be given, beside execute:mcp

# [users]
# alice = ["reader"]
# "*" = ["reader"]  # all others

# [keys]
# KEY_ID = ["reader"]  # such a key has what both its owner and these roles have

# [limits]  # of each user; also in a role: [roles.reader.limits]
# requests_per_minute = 600
# sessions_per_minute = 30
# calls_per_minute = 120
# calls_per_day = 10000
# bytes_per_day = 100000000
# calls_at_once = 20
# streams_at_once = 10

# [limits.tools."search_*"]  # of the calls of these tools together
# calls_per_minute = 10

# [scopes]
# "files:write" = ["files:read"]  # the broader one contains the narrower ones
"""


def _line(name: str, value: Any) -> str:
    return f"# {name} is not set" if value is None else f"{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    """JSON's scalars and arrays are TOML's."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str | Path):
        value = _PASSWORDS.sub(r"\1\2masked", str(value))
    return msgspec.json.encode(value).decode()


def _origin(origin: str | None) -> str:
    return "default" if origin is None else origin
