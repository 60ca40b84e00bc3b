"""Flags for the settings of config.Config, made from its fields."""

import argparse
import os
import types
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import trio

from mcpd.config import HINTS, SETTINGS, Loaded, load
from mcpd.errors import McpdError

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000/mcp/"  # where ``mcpd serve`` is without settings


def add_settings(parser: argparse.ArgumentParser, *, only: frozenset[str] | None = None) -> None:
    """A flag for each setting, or for some of them, and --config."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    for setting in SETTINGS:
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


def load_settings(
    arguments: argparse.Namespace, environ: Mapping[str, str] | None = None
) -> Loaded:
    """The effective settings of this command line.

    Args:
        environ: in the place of this process's environment.

    Raises:
        ConfigError: see config.load.
    """
    given = {f.name: getattr(arguments, f.name, None) for f in SETTINGS}
    flags = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    environ = os.environ if environ is None else environ
    return load(flags=flags, environ=environ, file=arguments.config)


def run_loop(main: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run Trio until ``main`` is done.

    Raises:
        McpdError: as it is, where nurseries made a group of it.
        KeyboardInterrupt: it was in a group.
        BaseExceptionGroup: there is a bug in it.
    """
    try:
        return trio.run(main, *args)
    except BaseExceptionGroup as group:
        error = _first_error(group)
    # Not in the clause above: the group would stand in its traceback, and tells nothing.
    raise error


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What to tell of a group: the first of our own errors, if there is nothing else in it."""
    if group.subgroup(KeyboardInterrupt) is not None:
        return KeyboardInterrupt()
    _, bugs = group.split(McpdError)
    error: BaseException = group
    while bugs is None and isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
