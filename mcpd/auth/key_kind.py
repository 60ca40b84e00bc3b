"""API keys as a kind of credential."""

import math

from mcpd.auth.api_keys import KeyRecord, id_of, looks_like_key
from mcpd.auth.authenticator import Identity, Sent
from mcpd.auth.challenges import Reason, refuse
from mcpd.auth.credential_store import CredentialStore
from mcpd.auth.principals import Principal
from mcpd.auth.revocation import Credential, Revocations
from mcpd.errors import Unauthorized

HOW_TO_GET = "Make a key with: mcpd key create --owner YOUR_NAME"
KNOWN_KEYS = 4096


class ApiKeys:
    """Keys of one store. A key seen before costs one look-up; what is known of it is dropped with
    this object, when something in the store has changed.

    Args:
        scope: that a challenge names.
        by_header: a key may come as ``X-API-Key`` too, where there is no Authorization.
    """

    def __init__(
        self,
        store: CredentialStore,
        revocations: Revocations,
        scope: str,
        *,
        by_header: bool = False,
    ) -> None:
        self._by_header = by_header
        self._store = store
        self._revocations = revocations
        self._scope = scope
        self._known: dict[str, KeyRecord] = {}  # by its text

    def recognizes(self, sent: Sent) -> bool:
        """A bearer token that begins as ours do, or whatever is in the header of keys."""
        return looks_like_key(_text(sent)) or self._is_in_header(sent)

    def _is_in_header(self, sent: Sent) -> bool:
        return self._by_header and sent.authorization is None and sent.api_key is not None

    async def verify(self, sent: Sent, now: float) -> Identity:
        """The identity behind a key.

        Raises:
            Unauthorized: it is mistyped, unknown, revoked, expired, or not for that address.
            StoreError: that cannot be told now.
        """
        text = _text(sent)
        if self._is_in_header(sent):
            text = (sent.api_key or b"").decode("latin-1").strip()
        record = self._known.get(text) or await self._find(text)
        credential = Credential(key_id=record.id)
        principal = Principal(
            record.subject, record.issuer, frozenset(record.scopes), "api_key", record.id
        )
        if record.revoked_at is not None or self._revocations.covers(principal, credential):
            raise self._refuse("it was revoked", "revoked", record)
        if record.expires_at is not None and now >= record.expires_at:
            raise self._refuse("it has expired", "expired", record)
        if not record.takes(sent.address):
            raise self._refuse("it may not be used from this address", "address", record)
        expires_at = math.inf if record.expires_at is None else record.expires_at
        return Identity(principal, expires_at, credential)

    async def _find(self, text: str) -> KeyRecord:
        key_id = id_of(text)
        if key_id is None:
            raise self._refuse("it is not complete, or mistyped", "malformed")
        record = await self._store.find_key(key_id)
        if record is None or not record.is_text(text):
            raise self._refuse("there is no such key", "unknown")
        if len(self._known) >= KNOWN_KEYS:
            del self._known[next(iter(self._known))]
        self._known[text] = record
        return record

    def _refuse(self, words: str, reason: Reason, record: KeyRecord | None = None) -> Unauthorized:
        told, fix = f"The API key is not valid: {words}.", HOW_TO_GET
        if reason == "revoked":
            fix = "It does not come back: ask the operator for another one."
        error = refuse(told, self._scope, fix=fix, reason=reason)
        if record is not None:
            error.user, error.credential = record.subject, record.id
        return error


def _text(sent: Sent) -> str:
    scheme, _, text = (sent.authorization or b"").decode("latin-1").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""
