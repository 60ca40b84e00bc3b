"""The store of credentials, for commands beside a running server; times as people write them."""

import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from mcpd.auth.credential_store import CredentialStore
from mcpd.cli.settings import run_loop
from mcpd.cli.signing import check_state_named
from mcpd.config import Config
from mcpd.errors import ConfigError
from mcpd.server.backends import credentials_beside, is_shared

SETTINGS = frozenset({"store", "state_dir"})


def with_credentials(config: Config, act: Callable[[CredentialStore], Awaitable[int]]) -> int:
    """Do one thing with the store that the settings name; the exit code.

    Raises:
        ConfigError: there is a service, and it is not said whose credentials are meant.
    """
    if not is_shared(config):
        check_state_named(config, os.environ)

    async def main() -> int:
        async with credentials_beside(config) as store:
            return await act(store)

    return run_loop(main)


def when(moment: float | None, none: str = "", *, seconds: bool = False) -> str:
    """A moment (Unix seconds) in UTC, to the minute or to the second."""
    if moment is None:
        return none
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(moment, UTC).strftime(form)


def read_moment(text: str) -> float:
    """Unix seconds of ``now``, or of a date or a time in ISO 8601; UTC where it names no zone.

    Raises:
        ConfigError: it is none of these.
    """
    if text == "now":
        return time.time()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            "That is no moment.", received=text[:32], fix="Write now, or 2026-12-31T23:59Z."
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
