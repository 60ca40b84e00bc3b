"""The authenticator's table while a server runs: what changes it, and what follows from that."""

import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import trio

from mcpd.auth.access_control import AccessControl
from mcpd.auth.authenticator import Authenticator, CredentialKind, Identity, Sent
from mcpd.auth.credential_store import CredentialStore
from mcpd.auth.key_kind import ApiKeys
from mcpd.auth.principals import Principal
from mcpd.auth.revocation import Credential, Revocations
from mcpd.auth.secrets import SecretSource
from mcpd.auth.tokens import TokenRules, Verifier
from mcpd.config import Config
from mcpd.errors import StoreError, Unavailable
from mcpd.limits.rules import LimitRules
from mcpd.limits.seldom import Seldom

log = logging.getLogger("mcpd.auth")

LOOK_EVERY_S = 0.5  # for keys and revocations that another process wrote
NOTE_EVERY_S = 60.0  # when keys were used last
SWEEP_EVERY_S = 3600.0
LEAVE_S = 2.0  # to note it once more at the end

EndStreams = Callable[[Callable[[Any], bool]], None]


class _NotKnown:
    """Before it is known what was revoked, nothing is let in."""

    def recognizes(self, sent: Sent) -> bool:
        return True

    async def verify(self, sent: Sent, now: float) -> NoReturn:
        raise Unavailable(
            "What credentials were revoked is not known yet.",
            fix="Try again in a moment.",
            headers=((b"retry-after", b"1"),),
        )


class Credentials:
    """Keeps the authenticator as settings, secrets, keys and revocations say.

    Args:
        store: None: no credential is needed.
        clock: Unix seconds.

    Attributes:
        end_streams: ends open-ended streams, by the identity with which they were opened.
        trouble: what is wrong with the store, in a word; empty: nothing.
    """

    def __init__(
        self,
        config: Config,
        secrets: SecretSource | None,
        store: CredentialStore | None,
        *,
        is_empty: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.end_streams: EndStreams | None = None
        self._config = config
        self._secrets = secrets
        self._clock = clock
        self._version: int | None = 0 if is_empty else None  # None: nothing is known
        self._revocations = Revocations()
        self._used: dict[str, float] = {}
        self.trouble = ""  # with the store, in a word
        self._complaints = Seldom()
        self.access = AccessControl(
            config.access, LimitRules(calls_per_minute=config.calls_per_minute)
        )
        self.access.is_withdrawn = self._is_withdrawn
        self.authenticator = Authenticator(self._kinds(), access=self.access, clock=clock)
        self.authenticator.on_use = self._note

    def use(self, config: Config, secrets: SecretSource) -> None:
        """From here on these settings and secrets count."""
        self._config, self._secrets = config, secrets
        self.access.use(config.access)
        self.authenticator.use(self._kinds())

    def use_rules(self, config: Config) -> None:
        """From here on these limits count, where no credential is needed."""
        self._config = config
        self.access.use(config.access)
        self.authenticator.use(self._kinds())

    def _kinds(self) -> list[CredentialKind]:
        """Every kind of credential that this server takes. Fresh ones remember nothing."""
        config = self._config
        if config.auth == "none" or self._secrets is None or self.store is None:
            return []
        if self._version is None:
            return [_NotKnown()]
        rules = TokenRules(config.jwt_issuer, config.jwt_audience, config.jwt_leeway_s)
        return [
            ApiKeys(self.store, self._revocations, rules.scope, by_header=config.api_key_header),
            Verifier(self._secrets.secrets, rules, self._revocations),
        ]

    def _note(self, identity: Identity) -> None:
        self._used[identity.credential.key_id] = self._clock()

    async def look(self) -> None:
        """Take in what has changed in the store.

        Raises:
            StoreError: that cannot be told now; what was known counts still.
        """
        if self.store is None:
            return
        version = await self.store.version()
        if version == self._version:
            return
        revocations = Revocations(await self.store.revocations(self._clock()))
        if self._version is not None and version < self._version:
            log.error("the store of API keys and revocations has lost some: what was known counts")
            revocations.add(self._revocations)
        self._version, self._revocations = version, revocations
        self.authenticator.use(self._kinds())
        if self.end_streams is not None and len(revocations):
            self.end_streams(self.is_revoked)

    def is_revoked(self, opener: Any) -> bool:
        """Whether what opened a stream was withdrawn, as far as is known here."""
        return isinstance(opener, Identity) and self._revocations.covers(
            opener.principal, opener.credential
        )

    def _is_withdrawn(self, principal: Principal) -> bool:
        named = principal.credential
        is_key = principal.token_type == "api_key"
        # A user's tokens of before a moment are not meant: a call that runs is finished.
        credential = Credential(named) if is_key else Credential("", named, math.inf)
        return self._revocations.covers(principal, credential)

    async def look_first(self) -> None:
        """``look``, before the server serves; a store that is away is asked again by ``run``."""
        await self._try_look()

    async def run(self) -> None:
        """Follow the store, for ever."""
        if self.store is None:
            return
        noted = swept = trio.current_time()
        try:
            while True:
                await trio.sleep(LOOK_EVERY_S)
                await self._try_look()
                now = trio.current_time()
                if now - noted >= NOTE_EVERY_S:
                    noted = now
                    await self._try(self._note_used)
                if now - swept >= SWEEP_EVERY_S:
                    swept = now
                    await self._try(self._sweep)
        finally:
            with trio.move_on_after(LEAVE_S, shield=True):
                await self._try(self._note_used)

    async def _note_used(self) -> None:
        used, self._used = self._used, {}
        if not used or self.store is None:
            return
        try:
            await self.store.note_used(used)
        except BaseException:
            self._used = {**used, **self._used}  # for the next time
            raise

    async def _sweep(self) -> None:
        if self.store is not None:
            await self.store.sweep(self._clock())

    async def _try_look(self) -> None:
        self.trouble = await self._try(self.look)

    async def _try(self, step: Callable[[], Awaitable[None]]) -> str:
        """What went wrong, in a word; empty: nothing."""
        try:
            await step()
        except StoreError as error:
            if self._complaints.is_due(trio.current_time()):
                log.warning("the store of credentials cannot be used now: %s", error.message)
            return "unavailable"
        except Exception:
            if self._complaints.is_due(trio.current_time()):
                log.exception("the store of credentials cannot be used")
            return "damaged"
        return ""
