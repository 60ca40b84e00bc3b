"""/api/keys: API keys, administered with the admin scope."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

import msgspec

from mcpd.access.scopes import SCOPE_ADMIN, SCOPE_EXECUTE
from mcpd.auth.access_control import AccessControl
from mcpd.auth.api_keys import DEFAULT_TTL_S, ID_CHARS
from mcpd.auth.authenticator import Authenticator, Identity, sent_by
from mcpd.auth.credential_store import CredentialStore
from mcpd.auth.tokens import MAX_TTL_S
from mcpd.errors import BadRequest, ConfigError, Forbidden, InsufficientScope, NotFound
from mcpd.http.answers import json_response
from mcpd.http.messages import Answer, HeaderPairs, Request
from mcpd.operations.key_issue import issue_key
from mcpd.rpc.json_limits import check_shape

log = logging.getLogger("mcpd.auth")

MAX_BYTES = 16 * 1024
_PRIVATE: HeaderPairs = ((b"cache-control", b"no-store"),)
_SHAPE = 'Send {"owner": "alice", "name": "laptop", "scopes": ["execute:mcp"]}.'


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    owner: str
    name: str
    issuer: str | None = None  # the maker's
    scopes: tuple[str, ...] = (SCOPE_EXECUTE,)
    expires_in_s: float | None = DEFAULT_TTL_S
    addresses: list[str] = []


_wanted = msgspec.json.Decoder(_Wanted)


@dataclass(frozen=True, slots=True)
class KeyEndpoint:
    """See above."""

    store: CredentialStore
    authenticator: Authenticator
    access: AccessControl
    clock: Callable[[], float] = time.time

    async def get(self, request: Request) -> Answer:
        """All keys, without anything secret; ``?id=ID``: one of them."""
        await self._authorize(request)
        key_id = _id(request)
        if key_id is None:
            keys = [record.shown() for record in await self.store.list_keys()]
            return json_response({"keys": keys}, headers=_PRIVATE)
        record = await self.store.find_key(key_id)
        if record is None:
            raise _unknown()
        return json_response(record.shown(), headers=_PRIVATE)

    async def post(self, request: Request) -> Answer:
        """Make one. Its text is in this answer alone."""
        identity = await self._authorize(request)
        if identity.credential.key_id:  # its bounds in time and place would not hold for that one
            raise Forbidden("A key does not make keys.", fix="Use a token.")
        body = await request.body(MAX_BYTES)
        check_shape(body)
        try:
            wanted = _wanted.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"The body is wrong: {error}.", fix=_SHAPE) from error
        self._check_scopes(wanted, identity)
        ttl_s = wanted.expires_in_s
        if ttl_s is not None and not 0 < ttl_s <= MAX_TTL_S:
            raise BadRequest("expires_in_s is above 0 and at most ten years, or null.")
        try:
            record, text = await issue_key(
                self.store,
                owner=wanted.owner,
                name=wanted.name,
                issuer=identity.principal.issuer if wanted.issuer is None else wanted.issuer,
                scopes=wanted.scopes,
                ttl_s=ttl_s,
                addresses=wanted.addresses,
                now=self.clock(),
                created_by=identity.principal.subject,
                access=self.access,
            )
        except ConfigError as error:
            raise BadRequest(error.message, received=error.received, fix=error.fix) from error
        log.info("API key %s of %s is made", record.id, record.subject)
        return json_response({**record.shown(), "key": text}, status=201, headers=_PRIVATE)

    async def delete(self, request: Request) -> Answer:
        """Revoke the one that ``?id=ID`` names."""
        await self._authorize(request)
        key_id = _id(request)
        if key_id is None:
            raise BadRequest("No key is named.", fix="DELETE /api/keys?id=ID")
        if not await self.store.revoke_key(key_id, self.clock()):
            raise _unknown()
        log.info("API key %s is revoked", key_id[:ID_CHARS])
        return json_response({"id": key_id, "revoked": True}, headers=_PRIVATE)

    async def _authorize(self, request: Request) -> Identity:
        identity = await self.authenticator.authenticate(sent_by(request))
        request.activity.user = identity.principal.subject
        if not identity.principal.rights.has(SCOPE_ADMIN):
            raise InsufficientScope(
                f"API keys take the scope {SCOPE_ADMIN}.",
                fix=f"mcpd token create --sub YOUR_NAME --scope execute:mcp --scope {SCOPE_ADMIN}",
            )
        return identity

    def _check_scopes(self, wanted: _Wanted, identity: Identity) -> None:
        """No key has more scopes than the token with which it is made."""
        beyond = sorted(s for s in set(wanted.scopes) if not identity.principal.rights.has(s))
        if beyond:
            raise InsufficientScope(
                f"A key cannot have more scopes than its maker: {', '.join(beyond)[:200]}.",
                fix="Leave them out, or ask with a token that has them.",
            )


def _id(request: Request) -> str | None:
    return parse_qs(request.query).get("id", [None])[0]


def _unknown() -> NotFound:
    return NotFound("There is no key of this id.", fix="GET /api/keys lists them.")
