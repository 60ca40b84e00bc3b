"""Bearer tokens: JSON Web Tokens with HS256 (RFC 6750, RFC 7519). Pure but for the cache.

The algorithm is fixed by configuration and never taken from the token. Verified tokens are
remembered by their digest until they expire, so that a token costs its signature once.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt

from mcpd.access.scopes import SCOPE_EXECUTE
from mcpd.auth import base64url
from mcpd.auth.authenticator import Identity, Sent
from mcpd.auth.challenges import HOW_TO_GET, Reason, refuse
from mcpd.auth.principals import Principal
from mcpd.auth.revocation import Credential, Revocations
from mcpd.auth.secrets import Secret
from mcpd.errors import McpdError, Unauthorized
from mcpd.rpc.json_limits import check_shape

ALGORITHM = "HS256"
TOKEN_TYPES = ("access", "api_token")
MAX_TOKEN_BYTES = 8192
CACHE_ENTRIES = 4096
MAX_TTL_S = 10 * 366 * 86400  # of what is made here: tokens and API keys
JTI_BYTES = 12
MAX_JTI_CHARS = 256
MAX_SUBJECT_CHARS = 256
MAX_ISSUER_CHARS = 1024


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must satisfy."""

    issuer: str | None = None
    audience: str | None = None
    leeway_s: float = 10.0
    scope: str = SCOPE_EXECUTE


class Verifier:
    """Our own tokens, as a kind of credential: checked against a set of secrets. For a token seen
    before that is one digest and one look-up.
    """

    def __init__(
        self,
        secrets: tuple[Secret, ...],
        rules: TokenRules = TokenRules(),
        revocations: Revocations | None = None,
    ) -> None:
        self._revocations = Revocations() if revocations is None else revocations
        self._secrets = secrets
        self._by_kid = {secret.kid: secret for secret in secrets}
        self._rules = rules
        self._cache: dict[bytes, Identity] = {}

    def recognizes(self, sent: Sent) -> bool:
        """Any bearer token may be one of ours."""
        authorization = sent.authorization
        return authorization is not None and authorization[:7].lower() == b"bearer "

    async def verify(self, sent: Sent, now: float) -> Identity:
        """The identity behind a bearer token at ``now`` (Unix seconds).

        Raises:
            Unauthorized: no token, or one that is not valid; says why, never shows it.
        """
        authorization = sent.authorization
        digest = hashlib.sha256(authorization).digest() if authorization else b""
        known = self._cache.get(digest)
        if known is not None and now < known.expires_at:
            return known
        self._cache.pop(digest, None)
        verified = self._verify(_bearer_token(authorization, self._rules.scope), now)
        if len(self._cache) >= CACHE_ENTRIES:
            del self._cache[next(iter(self._cache))]
        self._cache[digest] = verified
        return verified

    def _verify(self, token: str, now: float) -> Identity:
        claims = self._claims(token)
        expires_at = _check_times(claims, now, self._rules)
        principal = _principal(claims, self._rules.scope)
        credential = _credential(claims)
        if self._revocations.covers(principal, credential):
            error = self._refuse("it was revoked", "revoked")
            error.user, error.credential = principal.subject, principal.credential
            raise error
        return Identity(principal, expires_at, credential)

    def _claims(self, token: str) -> Mapping[str, Any]:
        """Check signature, issuer and audience; times are checked apart, against our clock."""
        rules, words = self._rules, "it cannot be read"
        for secret in self._candidates(token):
            try:
                return jwt.decode(
                    token,
                    secret.reveal(),
                    algorithms=[ALGORITHM],
                    audience=rules.audience,
                    issuer=rules.issuer,
                    options={
                        "verify_exp": False, "verify_nbf": False, "verify_iat": False,
                        "verify_aud": rules.audience is not None, "verify_sub": False,
                    },
                )  # fmt: skip
            except jwt.InvalidSignatureError:
                words = "its signature does not match any secret of this server"
            except jwt.PyJWTError as error:
                raise self._refuse(_words(error), "claims") from None
        raise self._refuse(words, "signature")

    def _candidates(self, token: str) -> tuple[Secret, ...]:
        """kid chooses; a token without one, or from another library, is tried on all."""
        try:
            header, claims = _parts(token)
        except ValueError:
            raise self._refuse("it is not a JSON Web Token") from None
        if header.get("alg") != ALGORITHM:
            raise self._refuse(f"its algorithm is not {ALGORITHM}")
        if "crit" in header:  # RFC 7515, section 4.1.11: what is not understood is refused
            raise self._refuse("its crit names what is not understood here")
        if not isinstance(claims.get("iss", ""), str):
            raise self._refuse("its iss is no text")
        named = self._by_kid.get(str(header.get("kid")))
        return self._secrets if named is None else (named,)

    def _refuse(self, words: str, reason: Reason = "malformed") -> Unauthorized:
        return refuse(f"The token is not valid: {words}.", self._rules.scope, reason=reason)


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, unverified: UTF-8 JSON within our bounds (RFC 7519, section 7.2), in the
    one spelling that an encoder makes. What of that the library checks differs by its version.

    Raises:
        ValueError: it is no token of this form.
    """
    first, second, third = token.split(".")
    base64url.decode(third, padded=False)
    return _object(first), _object(second)


def _object(part: str) -> dict[str, Any]:
    text = base64url.decode(part, padded=False)
    try:
        check_shape(text)
    except McpdError as error:
        raise ValueError(error.message) from error
    found = json.loads(text.decode("utf-8"))
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _credential(claims: Mapping[str, Any]) -> Credential:
    """What a revocation can name of a token."""
    token_id, issued_at = claims.get("jti"), claims.get("iat")
    return Credential(
        token_id=token_id if isinstance(token_id, str) and token_id.isprintable() else "",
        issued_at=None if issued_at is None else float(issued_at),
    )


def _bearer_token(authorization: bytes | None, scope: str) -> str:
    if not authorization:
        raise refuse(
            "No bearer token was sent.",
            scope,
            fix=f"Send Authorization: Bearer TOKEN. {HOW_TO_GET}",
            reason="missing",
        )
    scheme, _, token = authorization.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise refuse("The Authorization header is not of the form Bearer TOKEN.", scope)
    if len(token) > MAX_TOKEN_BYTES:
        raise refuse(f"The token has more than {MAX_TOKEN_BYTES} bytes.", scope)
    return token.strip()


def _words(error: jwt.PyJWTError) -> str:
    """A reason in our words: the library's own may quote the token."""
    reasons: dict[type[jwt.PyJWTError], str] = {
        jwt.InvalidIssuerError: "its iss is not the configured issuer",
        jwt.InvalidAudienceError: "its aud does not name this server",
        jwt.InvalidAlgorithmError: f"its algorithm is not {ALGORITHM}",
        jwt.DecodeError: "it is not a JSON Web Token",
    }
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"it has no {error.claim}"
    return next(
        (text for kind, text in reasons.items() if isinstance(error, kind)), "it is malformed"
    )


def _check_times(claims: Mapping[str, Any], now: float, rules: TokenRules) -> float:
    """exp, nbf and iat (RFC 7519, section 4.1); returns when the token stops being valid.

    An iat in the future is no reason to refuse (it says how old a token is, nbf when it begins): a
    clock that is set back must not lock every user out.
    """
    expires_at = _seconds(claims, "exp", rules)
    if expires_at is None:
        raise refuse("The token is not valid: it has no exp.", rules.scope)
    if now >= expires_at + rules.leeway_s:
        raise refuse(f"The token expired at {_utc(expires_at)}.", rules.scope, reason="expired")
    _seconds(claims, "iat", rules)
    start = _seconds(claims, "nbf", rules)
    if start is not None and now < start - rules.leeway_s:
        raise refuse(
            f"The token is not valid before {_utc(start)}.",
            rules.scope,
            fix="Compare the clocks of this server and of the machine that made the token.",
            reason="not yet",
        )
    return expires_at + rules.leeway_s


def _seconds(claims: Mapping[str, Any], name: str, rules: TokenRules) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise refuse(f"The token is not valid: its {name} is not a time.", rules.scope)
    return float(value)


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _principal(claims: Mapping[str, Any], scope: str) -> Principal:
    subject = claims.get("sub") or claims.get("user_id")
    if not isinstance(subject, str) or not subject:  # 123 and "123" would be one user
        raise refuse(
            "The token is not valid: it names no user, as a string, in sub or user_id.", scope
        )
    if len(subject) > MAX_SUBJECT_CHARS or not subject.isprintable():
        raise refuse("The token is not valid: its user is too long or not printable.", scope)
    token_type = claims.get("type")
    if token_type not in TOKEN_TYPES:
        raise refuse("The token is not valid: its type is neither access nor api_token.", scope)
    issuer = claims.get("iss") or ""
    if not isinstance(issuer, str) or len(issuer) > MAX_ISSUER_CHARS or not issuer.isprintable():
        raise refuse("The token is not valid: its iss is not a printable string.", scope)
    token_id = _credential(claims).token_id
    if len(token_id) > MAX_JTI_CHARS:
        raise refuse("The token is not valid: its jti is too long.", scope)
    return Principal(subject, issuer, _scopes(claims), token_type, token_id)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    given = claims.get("scopes", claims.get("scope", ()))
    if isinstance(given, str):
        return frozenset(given.split())
    if isinstance(given, list | tuple):
        return frozenset(item for item in given if isinstance(item, str))
    return frozenset()


def create_token(
    secret: Secret,
    *,
    subject: str,
    scopes: tuple[str, ...],
    token_type: str,
    now: int,
    ttl_s: int,
    issuer: str | None = None,
    audience: str | None = None,
) -> str:
    """Sign a token that ``Verifier`` accepts until ``now + ttl_s`` (Unix seconds)."""
    claims: dict[str, Any] = {
        "sub": subject,
        "user_id": subject,
        "type": token_type,
        "scopes": list(scopes),
        "iat": now,
        "jti": secrets.token_urlsafe(JTI_BYTES),
        "exp": now + ttl_s,
    }
    if issuer:
        claims["iss"] = issuer
    if audience:
        claims["aud"] = audience
    return jwt.encode(claims, secret.reveal(), algorithm=ALGORITHM, headers={"kid": secret.kid})
