"""Who sends a request: its credential becomes an identity, or a refusal."""

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mcpd.access.scopes import SCOPE_EXECUTE
from mcpd.auth.access_control import AccessControl
from mcpd.auth.challenges import has_no_role, lacks_scope
from mcpd.auth.principals import Principal
from mcpd.auth.revocation import Credential
from mcpd.errors import Forbidden, McpdError, Unauthorized
from mcpd.http.messages import Request

_NONE = Credential()


@dataclass(frozen=True, slots=True)
class Sent:
    """What a request shows of its sender.

    Attributes:
        authorization: the value of the header field.
        api_key: the value of ``X-API-Key``.
        address: of the client, as the socket or a trusted proxy reports it.
    """

    authorization: bytes | None
    address: str = ""
    is_loopback: bool = False
    api_key: bytes | None = None


def sent_by(request: Request) -> Sent:
    """What a request shows.

    Raises:
        BadRequest: Authorization, or X-API-Key, came more than once.
    """
    peer = request.peer
    headers = request.headers
    return Sent(
        headers.raw(b"authorization"), peer.address, peer.is_loopback, headers.raw(b"x-api-key")
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """A principal, and how long the credential that showed it holds.

    Attributes:
        expires_at: Unix seconds; infinite where no credential is needed.
        credential: what a revocation can name.
        generation: of the authenticator's table that showed it.
    """

    principal: Principal
    expires_at: float
    credential: Credential = _NONE
    generation: int = 0


class CredentialKind(Protocol):
    """One kind of credential, as one row of the authenticator's table."""

    def recognizes(self, sent: Sent) -> bool:
        """Whether a credential is of this kind, by its look alone."""

    async def verify(self, sent: Sent, now: float) -> Identity:
        """The identity behind a credential of this kind at ``now`` (Unix seconds).

        Raises:
            Unauthorized: it is not valid, with a challenge (RFC 6750, section 3).
            Unavailable, StoreError: that cannot be told now.
        """


class Authenticator:
    """Authenticate requests by a table of kinds of credentials. Without one, every request is the
    local user's.

    Args:
        kinds: the first one that recognizes a credential decides. The last one gets what no other
            recognizes, a missing header included, and says what is wrong with it.
        access: says what the identities may do.
        scope: that each must have.

    Attributes:
        on_refused: counts what was refused; may raise in the place of the refusal.
        generation: another number after each ``use``; what was remembered under an older one
            holds no more.
    """

    def __init__(
        self,
        kinds: Sequence[CredentialKind],
        *,
        access: AccessControl | None = None,
        scope: str = SCOPE_EXECUTE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.access = AccessControl() if access is None else access
        self._scope = scope
        self.generation = 0
        self.on_refused: Callable[[Sent, McpdError], Awaitable[None]] | None = None
        self.on_use: Callable[[Identity], None] | None = None  # told of each use of a credential
        self._kinds = tuple(kinds)
        self._clock = clock

    @property
    def required(self) -> bool:
        """Whether a credential is needed."""
        return bool(self._kinds)

    def use(self, kinds: Sequence[CredentialKind]) -> None:
        """Replace the table: from here on no identity of the old one counts."""
        self._kinds = tuple(kinds)
        self.generation += 1

    def holds(self, identity: Identity, generation: int) -> bool:
        """Whether an identity of this generation still counts."""
        return generation == self.generation and self._clock() < identity.expires_at

    def left_s(self, identity: Identity) -> float:
        """Seconds until an identity does not count any more."""
        return max(0.0, identity.expires_at - self._clock())

    async def authenticate(self, sent: Sent) -> Identity:
        """The identity behind what a request shows.

        Raises:
            Unauthorized, Unavailable, StoreError: see ``CredentialKind.verify``.
            InsufficientScope: it is valid, and does not allow MCP.
            TooManyRequests: its address was refused too often, as ``on_refused`` counts it.
            Forbidden: its user has no role here.

        Cancellation: at any await; nothing changes.
        """
        if not self._kinds:
            return Identity(self.access.local, math.inf, generation=self.generation)
        for kind in self._kinds[:-1]:
            if kind.recognizes(sent):
                break
        else:
            kind = self._kinds[-1]
        generation, shown = self.generation, None
        try:
            shown = await kind.verify(sent, self._clock())
            principal = self._with_rights(shown.principal)
        except (Unauthorized, Forbidden) as error:
            if shown is not None:
                error.user = shown.principal.subject
                error.credential = shown.principal.credential
            if self.on_refused is not None:
                await self.on_refused(sent, error)
            raise
        identity = replace(shown, principal=principal, generation=generation)
        self.note_use(identity)
        return identity

    def _with_rights(self, shown: Principal) -> Principal:
        principal = self.access.grant(shown)
        if not principal.rights.has(self._scope):
            view = principal.rights.view
            if view is not None and not view.grants(self._scope):
                raise has_no_role()
            raise lacks_scope("key" if shown.token_type == "api_key" else "token", self._scope)
        return principal

    def note_use(self, identity: Identity) -> None:
        """An identity that was remembered is used again."""
        if identity.credential.key_id and self.on_use is not None:
            self.on_use(identity)
