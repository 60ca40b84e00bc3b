"""Credentials in Redis, for all processes that use it. Nothing of them expires by itself: an
evicted or expired revocation would let a credential in again.
"""

import math
from collections.abc import Mapping

import msgspec

from mcpd.auth.api_keys import KeyRecord
from mcpd.auth.credential_store import (
    KEEP_EXPIRED_S,
    MAX_KEYS,
    MAX_KEYS_PER_OWNER,
    MAX_REVOCATIONS,
    damaged,
    too_many_keys,
    too_many_revocations,
)
from mcpd.auth.revocation import Revocation
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.lua import Script

_decode_key = msgspec.json.Decoder(KeyRecord).decode
_decode_revocation = msgspec.json.Decoder(Revocation).decode

# KEYS: keys, version; ARGV: id, record, most in all → 1: added; 0: there are too many
_ADD = Script(
    """
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('INCR', KEYS[2])
return 1
"""
)

# KEYS: keys, revoked, version; ARGV: id, the record as it was, revoked, field, revocation
# → 1: revoked; 0: the record is another one now
_REVOKE_KEY = Script(
    """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
redis.call('INCR', KEYS[3])
return 1
"""
)

# KEYS: revoked, version; ARGV: field, revocation, most in all → 1: kept; 0: there are too many
_REVOKE = Script(
    """
local is_new = redis.call('HGET', KEYS[1], ARGV[1]) == false
if is_new and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('INCR', KEYS[2])
return 1
"""
)


class RedisCredentials:
    """See CredentialStore."""

    def __init__(self, redis: RedisLink) -> None:
        self._redis = redis
        self._keys, self._used, self._revoked, self._version = redis.keys.credentials

    async def version(self) -> int:
        """See CredentialStore."""
        return int(await self._redis.call("GET", self._version) or 0)

    async def add_key(self, record: KeyRecord) -> None:
        """See CredentialStore."""
        now, known = record.created_at, await self.list_keys()
        valid = [other for other in known if _is_valid(other, now)]
        mine = [other for other in valid if _owner(other) == _owner(record)]
        if len(known) >= MAX_KEYS:  # those that are over go before their time
            await self._forget([other.id for other in known if not _is_valid(other, now)])
        added = len(mine) < MAX_KEYS_PER_OWNER and await self._redis.run(
            _ADD,
            (self._keys, self._version),
            record.id,
            msgspec.json.encode(record),
            MAX_KEYS,
            durable=True,
        )
        if not added:
            raise too_many_keys()

    async def find_key(self, key_id: str) -> KeyRecord | None:
        """See CredentialStore."""
        record, used = await self._redis.pipeline(
            ("HGET", self._keys, key_id), ("HGET", self._used, key_id)
        )
        return None if record is None else _record(record, used)

    async def list_keys(self) -> list[KeyRecord]:
        """See CredentialStore."""
        ids = await self._redis.call("HKEYS", self._keys)
        if not ids:
            return []
        records, used = await self._redis.pipeline(
            ("HMGET", self._keys, *ids), ("HMGET", self._used, *ids)
        )
        pairs = zip(records, used, strict=True)
        found = [_record(record, when) for record, when in pairs if record is not None]
        return sorted(found, key=lambda record: (-record.created_at, record.id))

    async def revoke_key(self, key_id: str, now: float) -> bool:
        """See CredentialStore."""
        while (known := await self._redis.call("HGET", self._keys, key_id)) is not None:
            record = _record(known, None)
            if record.revoked_at is not None:
                return True
            expires_at = math.inf if record.expires_at is None else record.expires_at
            revocation = Revocation("key", key_id, expires_at=expires_at)
            revoked = await self._redis.run(
                _REVOKE_KEY,
                (self._keys, self._revoked, self._version),
                key_id,
                known,
                msgspec.json.encode(msgspec.structs.replace(record, revoked_at=now)),
                _field(revocation),
                _encoded(revocation),
                durable=True,
            )
            if revoked:
                return True
        return False

    async def note_used(self, used: Mapping[str, float]) -> None:
        """See CredentialStore."""
        if used:
            pairs = [part for key_id, when in used.items() for part in (key_id, when)]
            await self._redis.call("HSET", self._used, *pairs)

    async def revoke(self, revocation: Revocation) -> None:
        """See CredentialStore."""
        known = await self._redis.call("HGET", self._revoked, _field(revocation))
        before = None if known is None else _revocation(known)
        if before is not None:
            revocation = _joined(before, revocation)
        kept = await self._redis.run(
            _REVOKE,
            (self._revoked, self._version),
            _field(revocation),
            _encoded(revocation),
            MAX_REVOCATIONS if revocation.kind == "token" else 2 * MAX_REVOCATIONS,
            durable=True,
        )
        if not kept:
            raise too_many_revocations()

    async def revocations(self, now: float) -> list[Revocation]:
        """See CredentialStore."""
        return [one for one in await self._all_revocations() if one.expires_at > now]

    async def _all_revocations(self) -> list[Revocation]:
        found = map(_revocation, await self._redis.call("HVALS", self._revoked) or ())
        return [one for one in found if one is not None]

    async def sweep(self, now: float) -> None:
        """See CredentialStore."""
        gone = [_field(one) for one in await self._all_revocations() if one.expires_at <= now]
        if gone:
            await self._redis.call("HDEL", self._revoked, *gone)
        old = [record.id for record in await self.list_keys() if _is_over(record, now)]
        await self._forget(old)

    async def _forget(self, ids: list[str]) -> None:
        if ids:
            await self._redis.pipeline(("HDEL", self._keys, *ids), ("HDEL", self._used, *ids))

    def close(self) -> None:
        """Nothing is held here."""


def _record(record: bytes, used: bytes | None) -> KeyRecord:
    try:
        found, last_used = _decode_key(record), None if used is None else float(used)
    except (msgspec.DecodeError, ValueError) as error:
        raise damaged() from error
    return msgspec.structs.replace(found, last_used=last_used)


def _owner(record: KeyRecord) -> tuple[str, str]:
    return record.issuer, record.subject


def _is_valid(record: KeyRecord, now: float) -> bool:
    return record.revoked_at is None and (record.expires_at is None or record.expires_at > now)


def _is_over(record: KeyRecord, now: float) -> bool:
    ends = [moment for moment in (record.expires_at, record.revoked_at) if moment is not None]
    return bool(ends) and min(ends) <= now - KEEP_EXPIRED_S


def _field(revocation: Revocation) -> bytes:
    return msgspec.json.encode([revocation.kind, revocation.issuer, revocation.name])


def _encoded(revocation: Revocation) -> bytes:
    """JSON has no infinity: 0 stands for it."""
    if revocation.expires_at == math.inf:
        revocation = msgspec.structs.replace(revocation, expires_at=0.0)
    return msgspec.json.encode(revocation)


def _revocation(encoded: bytes) -> Revocation | None:
    """None: of a kind that this version does not know."""
    try:
        found = _decode_revocation(encoded)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError as error:
        raise damaged() from error
    return found if found.expires_at else msgspec.structs.replace(found, expires_at=math.inf)


def _joined(one: Revocation, other: Revocation) -> Revocation:
    """The latest moment counts, and the latest end."""
    return msgspec.structs.replace(
        one,
        before=max(one.before, other.before),
        expires_at=max(one.expires_at, other.expires_at),
    )
