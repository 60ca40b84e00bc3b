"""Secrets that cannot be printed, and where they come from."""

import hashlib
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mcpd.errors import ConfigError
from mcpd.start_failures import start_failure

MIN_SECRET_BYTES = 32  # RFC 7518, section 3.2: a key of at least the hash's size


class Secret:
    """Bytes that do not show in logs, tracebacks, ``repr``, ``str``, formats or pickles."""

    __slots__ = ("_value", "kid")

    def __init__(self, value: bytes) -> None:
        self._value = value
        # Names the key in tokens (RFC 7515, section 4.1.4) without telling anything of it.
        self.kid = hashlib.blake2b(value, digest_size=6, person=b"mcpd-kid").hexdigest()

    def reveal(self) -> bytes:
        """The bytes themselves; for the cryptography and nothing else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and secrets.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self.kid)


@dataclass(frozen=True, slots=True)
class SecretSource:
    """The secrets in use and where they came from, for messages."""

    secrets: tuple[Secret, ...]
    origin: str
    is_new: bool = False  # made just now, so no token of before is valid
    fixed: str = ""  # why reading it again while running finds nothing new


def parse_secrets(text: str, origin: str) -> tuple[Secret, ...]:
    """One secret a line; the first signs, all verify. Empty lines and ``#`` lines are skipped.

    Raises:
        ConfigError: none, or one that is too short; never shows any part of it.
    """
    lines = [line.strip() for line in text.splitlines()]
    values = [line.encode() for line in lines if line and not line.startswith("#")]
    if not values:
        raise ConfigError(f"{origin} holds no secret.", fix=_HOW_TO_MAKE)
    for number, value in enumerate(values, 1):
        if len(value) < MIN_SECRET_BYTES:
            raise ConfigError(
                f"Secret {number} of {origin} has {len(value)} bytes; HS256 needs at least"
                f" {MIN_SECRET_BYTES}.",
                fix=_HOW_TO_MAKE,
            )
    return tuple(Secret(value) for value in values)


_HOW_TO_MAKE = "Make one with: openssl rand -base64 48"


def read_secret_file(path: Path) -> SecretSource:
    """Read secrets from a file.

    Raises:
        ConfigError: it cannot be read or holds no usable secret.
        Unavailable: it cannot be read now.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise start_failure(
            error,
            f"The secret file {path} cannot be read: {_reason(error)}.",
            fix="Check the path and its permissions.",
        ) from error
    return SecretSource(parse_secrets(text, str(path)), str(path))


def is_readable_by_others(path: Path) -> bool:
    """Whether the mode of a file lets its group or all users in; False if it is not there."""
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        return False


def create_secret_file(path: Path) -> None:
    """Make a fresh secret, readable by its owner alone; never replaces a file.

    Raises:
        FileExistsError: another process was first.
        OSError: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Under another name first: a process that finds the file finds the whole secret in it.
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    finally:
        os.unlink(fresh)


def _reason(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "not UTF-8"
