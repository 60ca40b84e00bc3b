"""Credentials that were withdrawn before their time. Pure."""

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from mcpd.auth.principals import Principal

KINDS = ("key", "token", "subject")
ANY_ISSUER = "*"


class Credential(msgspec.Struct, frozen=True):
    """What of a credential a revocation can name.

    Attributes:
        key_id: of an API key; empty: it is none.
        token_id: the ``jti`` of a token; empty: it has none.
        issued_at: its ``iat`` (Unix seconds); None: it does not say.
    """

    key_id: str = ""
    token_id: str = ""
    issued_at: float | None = None


class Revocation(msgspec.Struct, frozen=True):
    """One withdrawal.

    Attributes:
        kind: of what ``name`` names: an API key's id, a token's ``jti``, or a subject.
        issuer: of tokens, or ANY_ISSUER; of a key it is empty.
        before: of a subject: tokens that were issued before this moment (Unix seconds).
        expires_at: when all that it names has expired by itself (Unix seconds); infinite: never.
    """

    kind: Literal["key", "token", "subject"]
    name: str
    issuer: str = ""
    before: float = 0.0
    expires_at: float = math.inf


class Revocations:
    """Those in force."""

    def __init__(self, found: Iterable[Revocation] = ()) -> None:
        self._named: dict[tuple[str, str, str], float] = {
            (one.kind, one.issuer, one.name): one.before for one in found
        }

    def __len__(self) -> int:
        return len(self._named)

    def covers(self, principal: Principal, credential: Credential) -> bool:
        """Whether a credential was withdrawn. A token that does not say when it was issued counts
        as issued before any moment.
        """
        if not self._named:
            return False
        if credential.key_id:
            return ("key", "", credential.key_id) in self._named
        issued_at = credential.issued_at or 0.0
        for issuer in (principal.issuer, ANY_ISSUER):
            if credential.token_id and ("token", issuer, credential.token_id) in self._named:
                return True
            before = self._named.get(("subject", issuer, principal.subject))
            if before is not None and issued_at < before:
                return True
        return False

    def add(self, other: "Revocations") -> None:
        """Keep those of another as well."""
        for name, before in other._named.items():
            self._named[name] = max(before, self._named.get(name, before))
