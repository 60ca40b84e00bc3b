"""Files that hold a secret, and whether other users of the machine can read them."""

import logging
from collections.abc import Mapping
from pathlib import Path

from mcpd.auth.secrets import is_readable_by_others
from mcpd.config import Config, Loaded
from mcpd.server.environment import has_password
from mcpd.server.jwt_secrets import ENV_SECRET, STATE_FILE

log = logging.getLogger("mcpd.server")


def private_files(loaded: Loaded, environ: Mapping[str, str]) -> list[tuple[str, Path]]:
    """What each such file is, and where. systemd keeps its credentials private by itself."""
    config, found = loaded.config, []
    if config.auth != "none" and (path := _secret_file(config, environ)) is not None:
        found.append(("secret file", path))
    if config.tls_key is not None:
        found.append(("private key", config.tls_key))
    origin = loaded.origins.get("store", "")
    if has_password(config.store) and origin not in ("", "flag") and not origin.startswith("$"):
        found.append(("configuration with a password", Path(origin)))
    return found


def _secret_file(config: Config, environ: Mapping[str, str]) -> Path | None:
    if config.jwt_secret_file is not None:
        return config.jwt_secret_file
    if environ.get(ENV_SECRET) or environ.get("CREDENTIALS_DIRECTORY"):
        return None
    return config.state_path / STATE_FILE


def warn_of_readable(loaded: Loaded, environ: Mapping[str, str]) -> None:
    """Log a warning for each that others can read; what is not there is not told here."""
    for what, path in private_files(loaded, environ):
        if is_readable_by_others(path):
            log.warning("the %s %s can be read by others: chmod 600 %s", what, path, path)
