"""State that passes through clients: sealed with a key of ours, so that none can alter it.

HMAC-SHA256 (RFC 2104) under keys derived from the configured secrets, so that any process of the
same configuration opens what another sealed, also while secrets are rotated.
"""

import hashlib
import hmac
import secrets as random

from mcpd.auth import base64url
from mcpd.auth.secrets import Secret

_MAC_BYTES = 32
MAX_SEALED_CHARS = 256 * 1024


class BrokenSeal(Exception):
    """It was not sealed here, or was altered since."""


class Sealer:
    """Seal bytes for one purpose. Without secrets a key of this process is used."""

    def __init__(self, purpose: str, secrets: tuple[Secret, ...] = ()) -> None:
        self._purpose = purpose.encode()
        self._keys: tuple[bytes, ...] = ()
        self.use(secrets)

    def use(self, secrets: tuple[Secret, ...]) -> None:
        """Derive keys anew: the first seals, all open."""
        values = [secret.reveal() for secret in secrets] or [random.token_bytes(32)]
        self._keys = tuple(
            hmac.digest(value, b"mcpd seal " + self._purpose, hashlib.sha256) for value in values
        )

    def seal(self, payload: bytes) -> str:
        """A text that ``open`` turns back."""
        mac = hmac.digest(self._keys[0], payload, hashlib.sha256)
        return base64url.encode(mac + payload)

    def open(self, text: str) -> bytes:
        """The payload.

        Raises:
            BrokenSeal: see there.
        """
        if len(text) > MAX_SEALED_CHARS:
            raise BrokenSeal
        try:
            data = base64url.decode(text, padded=True)
        except ValueError:
            raise BrokenSeal from None
        mac, payload = data[:_MAC_BYTES], data[_MAC_BYTES:]
        for key in self._keys:
            if hmac.compare_digest(hmac.digest(key, payload, hashlib.sha256), mac):
                return payload
        raise BrokenSeal
