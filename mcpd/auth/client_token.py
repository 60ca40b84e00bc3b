"""The token that we show to a server as its client, and where it came from. It is never printed."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mcpd.auth.secrets import is_readable_by_others
from mcpd.errors import ConfigError, Unavailable
from mcpd.start_failures import start_failure

log = logging.getLogger("mcpd.client")

VARIABLE = "MCPD_TOKEN"
MAX_TOKEN_BYTES = 16 * 1024


class ClientToken:
    """A bearer token from a file, from the environment, or none.

    Attributes:
        token: itself; empty if there is none.
        origin: where it came from, in words.

    Raises:
        ConfigError: there is a file, and no token can be read from it.
    """

    def __init__(self, file: Path | None, environ: Mapping[str, str]) -> None:
        self._file = file
        self.token = ""
        self.origin = ""
        if file is not None:
            self.origin = f"the file {file}"
            self.token = _read(file)
            if is_readable_by_others(file):
                log.warning("the token file %s can be read by others: chmod 600 %s", file, file)
        elif environ.get(VARIABLE):
            self.origin = f"the variable {VARIABLE}"
            self.token = _checked(environ[VARIABLE], self.origin)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What a request carries."""
        if not self.token:
            return []
        return [(b"authorization", f"Bearer {self.token}".encode("ascii"))]

    def read_again(self) -> None:
        """Another token may be there now; a file that cannot be read changes nothing."""
        if self._file is not None:
            with suppress(ConfigError, Unavailable):
                self.token = _read(self._file)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_TOKEN_BYTES)
        return _checked(content.decode("ascii"), f"The file {file}")
    except OSError as error:
        raise start_failure(
            error,
            f"The token file {file} cannot be read: {error.strerror}.",
            fix="mcpd token create --sub NAME > FILE makes one, with the server's --state-dir.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The file {file} holds no token.") from error


def _checked(text: str, origin: str) -> str:
    token = text.strip().removeprefix("Bearer ").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{origin} holds no token.", fix="One line, the token alone.")
    return token
