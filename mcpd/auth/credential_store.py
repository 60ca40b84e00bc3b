"""The contract of what is kept of credentials: API keys, and what was revoked.

Each method raises StoreError when the store cannot be reached. One contract test suite runs over
all stores.
"""

from collections.abc import Mapping
from typing import Protocol

from mcpd.auth.api_keys import KeyRecord
from mcpd.auth.revocation import Revocation
from mcpd.errors import StoreError, TooManyRequests

MAX_KEYS = 10_000  # in all, that are neither revoked nor expired
MAX_KEYS_PER_OWNER = 100  # of these
MAX_REVOCATIONS = 100_000  # of tokens and subjects
KEEP_EXPIRED_S = 30 * 86400.0  # a key that is over, for its owner to see why it is refused


class CredentialStore(Protocol):
    """Keys and revocations, shared by every process of a server."""

    async def version(self) -> int:
        """Another number after each change by which a credential came or went."""

    async def add_key(self, record: KeyRecord) -> None:
        """Keep a new key.

        Raises:
            TooManyRequests: its owner, or all together, have too many.
        """

    async def find_key(self, key_id: str) -> KeyRecord | None:
        """The key of this id, revoked and expired ones too."""

    async def list_keys(self) -> list[KeyRecord]:
        """All keys, the newest first."""

    async def revoke_key(self, key_id: str, now: float) -> bool:
        """Withdraw a key for good; False: there is none. One that is withdrawn stays so."""

    async def note_used(self, used: Mapping[str, float]) -> None:
        """When keys were used last, by their ids."""

    async def revoke(self, revocation: Revocation) -> None:
        """Withdraw tokens.

        Raises:
            TooManyRequests: there are too many of single tokens.
        """

    async def revocations(self, now: float) -> list[Revocation]:
        """Those in force at ``now``, of keys too."""

    async def sweep(self, now: float) -> None:
        """Forget what has been expired for KEEP_EXPIRED_S."""

    def close(self) -> None:
        """Let go of what is held; blocks."""


def damaged() -> StoreError:
    """What is kept cannot be read."""
    return StoreError("What this server keeps of its credentials is damaged.", lasting=True)


def too_many_keys() -> TooManyRequests:
    """The refusal of a key beyond a bound."""
    return TooManyRequests(
        f"A user has at most {MAX_KEYS_PER_OWNER} API keys that are valid, and a server"
        f" {MAX_KEYS} in all.",
        fix="Revoke some: mcpd key list, mcpd key revoke ID.",
    )


def too_many_revocations() -> TooManyRequests:
    """The refusal of a revocation beyond the bound."""
    return TooManyRequests(
        f"At most {MAX_REVOCATIONS} revocations are kept until what they name has expired.",
        fix="Revoke all tokens of a subject at once, or replace the secret.",
    )
