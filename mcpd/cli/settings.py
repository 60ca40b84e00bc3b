"""Flags for the settings of config.Config, made from its fields."""

import argparse
import os
import types
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from mcpd.config import HINTS, Config, Loaded, load
from mcpd.errors import McpdError

DEFAULT_URL = "http://127.0.0.1:8000/mcp/"  # where ``mcpd serve`` is without settings


def add_settings(parser: argparse.ArgumentParser, *, only: frozenset[str] | None = None) -> None:
    """A flag for each setting, or for some of them, and --config."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    for setting in fields(Config):
        if only is None or setting.name in only:
            _add_flag(parser, setting.name, setting.metadata, setting.default)


def _add_flag(parser: argparse.ArgumentParser, name: str, metadata: Any, default: Any) -> None:
    flag = "--" + name.replace("_", "-")
    hint = HINTS[name]
    shown = "" if default in (None, (), False) else f" (default: {default})"
    help_text = metadata["help"].replace("%", "%%") + shown
    if hint is bool:
        parser.add_argument(
            flag, dest=name, action=argparse.BooleanOptionalAction, default=None, help=help_text
        )
        return
    options: dict[str, Any] = {"dest": name, "default": None, "help": help_text}
    if get_origin(hint) is tuple:
        options["action"] = "append"
    if get_origin(hint) is Literal:
        options["choices"] = get_args(hint)
    else:
        options["metavar"] = metadata["metavar"] or "VALUE"
        options["type"] = _flag_type(hint)
    parser.add_argument(flag, **options)


def _flag_type(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(option for option in get_args(hint) if option is not type(None))
    return str if get_origin(hint) is tuple else hint


def load_settings(arguments: argparse.Namespace) -> Loaded:
    """The effective settings of this command line.

    Raises:
        ConfigError: see config.load.
    """
    given = {f.name: getattr(arguments, f.name, None) for f in fields(Config)}
    flags = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    return load(flags=flags, environ=os.environ, file=arguments.config)


def first_error(group: BaseExceptionGroup[McpdError]) -> McpdError:
    """What to tell of a group: the first of our own errors in it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, McpdError):
        raise error
    return error
