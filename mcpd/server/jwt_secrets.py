"""Which secrets this process uses: a file, the environment, systemd's credentials, our own."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mcpd.auth.secrets import SecretSource, create_secret_file, parse_secrets, read_secret_file
from mcpd.config import Config
from mcpd.errors import ConfigError
from mcpd.start_failures import start_failure

ENV_SECRET = "JWT_SECRET_KEY"
CREDENTIAL = "jwt-secret"  # LoadCredential=jwt-secret:...
STATE_FILE = "jwt-secret"
_INSTEAD = "restart to change it, or give jwt_secret_file"


def has_secret(config: Config, environ: Mapping[str, str]) -> bool:
    """Whether ``find_secrets`` would find one, usable or not."""
    if config.jwt_secret_file is not None or environ.get(ENV_SECRET):
        return True
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if directory and (Path(directory) / CREDENTIAL).exists():
        return True
    return (config.state_path / STATE_FILE).exists()


def find_secrets(config: Config, environ: Mapping[str, str], *, create: bool) -> SecretSource:
    """The first of: jwt_secret_file, JWT_SECRET_KEY, the systemd credential, the state directory.

    Args:
        create: make a secret in the state directory if there is none anywhere.

    Raises:
        ConfigError: one was found that cannot be used, or none and ``create`` is False.
        Unavailable: one cannot be read or made now.
    """
    if config.jwt_secret_file is not None:
        return read_secret_file(config.jwt_secret_file)
    if environ.get(ENV_SECRET):
        secrets = parse_secrets(environ[ENV_SECRET], f"${ENV_SECRET}")
        fixed = f"a variable is read at the start alone; {_INSTEAD}"
        return SecretSource(secrets, f"${ENV_SECRET}", fixed=fixed)
    if directory := environ.get("CREDENTIALS_DIRECTORY"):
        credential = Path(directory) / CREDENTIAL
        if credential.exists():
            fixed = f"systemd reads a credential at the start alone; {_INSTEAD}"
            return replace(read_secret_file(credential), fixed=fixed)
    path, is_new = config.state_path / STATE_FILE, False
    if create and not path.exists():
        try:
            create_secret_file(path)
            is_new = True
        except FileExistsError:
            pass
        except OSError as error:
            raise start_failure(
                error,
                f"A secret cannot be made in {path.parent}: {os.strerror(error.errno or 0)}.",
                fix="Give another --state-dir, or a --jwt-secret-file.",
            ) from error
    if not path.exists():
        raise ConfigError(
            f"There is no secret: neither --jwt-secret-file, ${ENV_SECRET}, nor {path}.",
            fix="Start mcpd serve once, or give one of them.",
        )
    return replace(read_secret_file(path), is_new=is_new)
