"""Settings as a TOML file and the environment have them, before they are values."""

import difflib
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mcpd.errors import ConfigError
from mcpd.start_failures import start_failure

ENV_PREFIX = "MCPD_"
NO_SETTINGS = frozenset({"MCPD_CONFIG", "MCPD_TOKEN"})  # the latter is for ``mcpd bridge``


def read_file(
    path: Path, names: Collection[str], tables: Collection[str]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The settings of a file, and its tables.

    Raises:
        ConfigError, Unavailable: it cannot be read, or has what is neither.
    """
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise start_failure(error, message, fix="Check --config and MCPD_CONFIG.") from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    for name in values:
        if name not in names and name not in tables:
            raise _unknown(name, str(path), [*names, *tables])
    found = {name: values.pop(name) for name in tables if name in values}
    return values, found


def read_environ(environ: Mapping[str, str], names: Collection[str]) -> Mapping[str, str]:
    """The settings of an environment.

    Raises:
        ConfigError: a variable looks like one of ours and is not.
    """
    values = {}
    known = [ENV_PREFIX + name.upper() for name in names]
    for variable, value in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in NO_SETTINGS:
            continue
        if _is_service_link(variable, value):
            continue
        if variable not in known:
            raise _unknown(variable, "the environment", known)
        values[variable.removeprefix(ENV_PREFIX).lower()] = value
    return values


def _is_service_link(variable: str, value: str) -> bool:
    """What Kubernetes puts into every container for a service that is named mcpd."""
    link = variable.startswith((f"{ENV_PREFIX}SERVICE_", f"{ENV_PREFIX}PORT_"))
    return link or (variable == f"{ENV_PREFIX}PORT" and "://" in value)


def _unknown(name: str, where: str, known: list[str]) -> ConfigError:
    bare = {option.removeprefix(ENV_PREFIX): option for option in known}  # or all look alike
    near = difflib.get_close_matches(name.removeprefix(ENV_PREFIX), bare, n=1)
    return ConfigError(
        f"There is no setting {name} (in {where}).",
        fix=f"Did you mean {bare[near[0]]}?" if near else "mcpd serve --help lists them all.",
    )
