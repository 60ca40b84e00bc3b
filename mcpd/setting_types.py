"""Values of settings as their types: from text, as the environment has it, or from TOML. Pure."""

import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from mcpd.errors import ConfigError

MAX_NUMBER = 1e10  # of any setting: three hundred years, ten gigabytes


def convert(name: str, hint: Any, value: Any, origin: str) -> Any:
    """The value as the setting's type, from text or from TOML.

    Args:
        hint: the annotation of the setting.
        origin: where the value is from, in words.

    Raises:
        ConfigError: it is not of that type.
    """
    try:
        return _to_type(hint, value)
    except (ValueError, TypeError):
        raise ConfigError(
            f"{name} (from {origin}) must be {_describe(hint)}.", received=str(value)[:100]
        ) from None


def _to_type(hint: Any, value: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(option for option in get_args(hint) if option is not type(None))
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError
        return value
    if get_origin(hint) is tuple:
        return tuple(value.split()) if isinstance(value, str) else tuple(str(v) for v in value)
    if hint is bool:
        return _to_bool(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Path):
        raise TypeError
    if hint is Path:
        return Path(str(value)).expanduser()
    if hint is int and isinstance(value, float) and not value.is_integer():
        raise ValueError
    converted = hint(value)
    if isinstance(converted, int | float) and not 0 <= converted <= MAX_NUMBER:
        raise ValueError
    return converted


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise ValueError


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    names = {int: "a whole number, not negative or huge", float: "a number, not negative or huge",
             bool: "true or false", str: "text"}  # fmt: skip
    return names.get(hint, "a list of texts" if get_origin(hint) is tuple else "a path")
