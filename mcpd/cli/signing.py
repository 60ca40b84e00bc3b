"""Which secret a command signs with: never one that was made by accident, and never unsaid."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from mcpd.auth.secrets import SecretSource
from mcpd.config import Config
from mcpd.errors import ConfigError
from mcpd.server.jwt_secrets import find_secrets, has_secret
from mcpd.telemetry.descriptor import say

# Where the units of systemd/ put a service, as README installs it.
UNITS = (
    Path("/etc/systemd/system/mcpd.service"),
    Path("/usr/lib/systemd/system/mcpd.service"),
    Path("/lib/systemd/system/mcpd.service"),
)
SERVICE_STATE = Path("/var/lib/mcpd")
SERVICE_CREDENTIAL = Path("/etc/credstore/mcpd.jwt-secret")
_NAMED_BY = ("JWT_SECRET_KEY", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY")


def add_new_secret(parser: argparse.ArgumentParser) -> None:
    """The flag without which no command makes a secret."""
    parser.add_argument(
        "--new-secret",
        action="store_true",
        help="make a secret if there is none, as the first start of mcpd serve does",
    )


def signing_secret(
    config: Config, environ: Mapping[str, str], *, new_secret: bool = False
) -> SecretSource:
    """The secret to sign with; says on stderr which it is.

    Args:
        new_secret: make one if there is none.

    Raises:
        ConfigError: there is none, or it is not to be told which server it is for.
    """
    if not _is_named(config, environ):
        _check_service(config, environ)
    if not new_secret and not has_secret(config, environ):
        raise ConfigError(
            f"There is no secret in {config.state_path} yet.",
            fix="Start mcpd serve once, which makes one. If the server has another --state-dir or"
            " --jwt-secret-file, give the same here. --new-secret makes one before that.",
        )
    source = find_secrets(config, environ, create=True)
    made = ", made just now" if source.is_new else ""
    say(f"mcpd: signed with key {source.secrets[0].kid} of {source.origin}{made}")
    return source


def check_state_named(config: Config, environ: Mapping[str, str]) -> None:
    """Where a service is installed, a command that writes into a state directory is told which.

    Raises:
        ConfigError: it is not.
    """
    if config.state_dir is None and not environ.get("STATE_DIRECTORY") and _has_service():
        raise ConfigError(
            f"mcpd.service is installed here, and it does not use {config.state_path}.",
            fix=f"For the service give --state-dir {SERVICE_STATE} (with sudo); for a server of"
            f" your own --state-dir {config.state_path}.",
        )


def _has_service() -> bool:
    return SERVICE_STATE.exists() and any(unit.exists() for unit in UNITS)


def _is_named(config: Config, environ: Mapping[str, str]) -> bool:
    given = config.state_dir is not None or config.jwt_secret_file is not None
    return given or any(environ.get(name) for name in _NAMED_BY)


def _check_service(config: Config, environ: Mapping[str, str]) -> None:
    """Who has a service here most likely means that one, and this user's own secret is another's.

    Raises:
        ConfigError: it names both.
    """
    if not _has_service():
        return
    if os.geteuid() != 0 and has_secret(config, environ):
        return  # a user with a server of their own
    flag = f"--state-dir {SERVICE_STATE}"
    if SERVICE_CREDENTIAL.exists():
        flag = f"--jwt-secret-file {SERVICE_CREDENTIAL}"
    sudo = "" if os.geteuid() == 0 else " (with sudo)"
    raise ConfigError(
        f"mcpd.service is installed here, and its secret is not the one of {config.state_path}.",
        fix=f"For the service give {flag}{sudo}; for a server of your own --state-dir"
        f" {config.state_path}.",
    )
