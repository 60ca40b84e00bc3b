"""Making an API key, for the command and for /api/keys."""

from collections.abc import Sequence

from mcpd.access.scopes import SCOPE_EXECUTE, is_scope
from mcpd.auth.access_control import AccessControl
from mcpd.auth.api_keys import (
    DEFAULT_TTL_S,
    MAX_NAME_CHARS,
    KeyRecord,
    digest_of,
    networks,
    new_key,
)
from mcpd.auth.credential_store import CredentialStore
from mcpd.auth.principals import Principal
from mcpd.auth.tokens import MAX_ISSUER_CHARS, MAX_SUBJECT_CHARS
from mcpd.errors import ConfigError

MAX_SCOPES = 64
MAX_SCOPE_CHARS = 128


async def issue_key(
    store: CredentialStore,
    *,
    owner: str,
    name: str,
    now: float,
    issuer: str = "",
    scopes: Sequence[str] = (SCOPE_EXECUTE,),
    ttl_s: float | None = DEFAULT_TTL_S,
    addresses: Sequence[str] = (),
    created_by: str = "",
    access: AccessControl | None = None,
) -> tuple[KeyRecord, str]:
    """Make a key and keep it; its record and its text, which is not kept.

    Args:
        owner: the subject for whom it acts.
        ttl_s: None: it does not expire.
        created_by: the subject who asked for it; empty: an operator's command.
        access: says what the owner may have; a key has no more.

    Raises:
        ConfigError: something of it is not usable.
        TooManyRequests: its owner, or all together, have too many.
        StoreError: it could not be kept.
    """
    _check_text("The owner", owner, MAX_SUBJECT_CHARS)
    _check_text("The name", name, MAX_NAME_CHARS)
    if issuer:
        _check_text("The issuer", issuer, MAX_ISSUER_CHARS)
    if len(scopes) > MAX_SCOPES:
        raise ConfigError(f"A key has at most {MAX_SCOPES} scopes.", received=len(scopes))
    for scope in scopes:
        _check_text("A scope", scope, MAX_SCOPE_CHARS)
        if not is_scope(scope):
            raise ConfigError("That is no scope.", received=scope[:64])
    if access is not None:
        _check_owner(access, Principal(owner, issuer, frozenset(scopes)))
    key_id, text = new_key()
    record = KeyRecord(
        id=key_id,
        digest=digest_of(text),
        name=name,
        subject=owner,
        issuer=issuer,
        scopes=tuple(sorted(set(scopes))),
        created_at=now,
        expires_at=None if ttl_s is None else now + ttl_s,
        addresses=networks(tuple(addresses)),
        created_by=created_by,
    )
    await store.add_key(record)
    return record, text


def _check_owner(access: AccessControl, owner: Principal) -> None:
    beyond = sorted(owner.scopes - access.grant(owner).scopes)
    if beyond:
        raise ConfigError(
            f"No role of {owner.subject} gives {', '.join(beyond)}.",
            fix="Leave that out, or add it to a role in the configuration.",
        )


def _check_text(what: str, text: str, most: int) -> None:
    if not text or len(text) > most or not text.isprintable():
        raise ConfigError(f"{what} must have 1 to {most} printable characters.", received=text[:64])
