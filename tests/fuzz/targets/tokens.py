"""Authorization: a principal or a refusal for any value, and no second spelling of a token."""

import base64
import functools
import hmac
from typing import Any

import trio
from hypothesis import strategies as st

from mcpd.auth.authenticator import Authenticator, Sent
from mcpd.auth.seal import BrokenSeal, Sealer
from mcpd.auth.secrets import Secret
from mcpd.auth.tokens import TokenRules, Verifier, create_token
from mcpd.errors import InsufficientScope, Unauthorized
from tests.fuzz.drawing import COMMON, encode, mutated, values
from tests.fuzz.target import Target

SECRETS = (Secret(b"n" * 40), Secret(b"o" * 40))
STRANGER = Secret(b"s" * 40)
NOW = 1_700_000_000
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SCOPE = "execute:mcp"
RULES = TokenRules()


def make(secret: Secret, subject: str, **more: Any) -> bytes:
    """A token of ours."""
    return create_token(
        secret, subject=subject, scopes=(SCOPE,), token_type="access", now=NOW, ttl_s=3600, **more
    ).encode()


VALID = [
    make(SECRETS[0], "alice"),
    make(SECRETS[1], "bob"),
    make(SECRETS[0], "c", issuer="https://a.example", audience="mcpd"),
    make(SECRETS[0], "dd"),  # with the length of its parts the bits left over differ
]
FOREIGN = make(STRANGER, "mallory")
NONE = b".".join([base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"="),
                  VALID[0].split(b".")[1], b""])  # fmt: skip


def verify(value: bytes | None, rules: TokenRules = RULES) -> str | None:
    """The subject, or None for a refusal; anything else is raised."""
    authenticator = Authenticator([Verifier(SECRETS, rules)], clock=lambda: NOW + 1.0)
    try:
        found = trio.run(authenticator.authenticate, Sent(value))
        again = trio.run(authenticator.authenticate, Sent(value))
    except (Unauthorized, InsufficientScope) as error:
        challenge = dict(error.headers)[b"www-authenticate"]
        assert challenge.startswith(b"Bearer "), challenge
        assert b"\n" not in challenge
        assert error.received is None, "a refusal shows the credential"
        return None
    assert again == found, "a remembered token is another one"
    assert found.principal.subject
    assert found.expires_at > NOW
    return found.principal.subject


def check_value(value: bytes) -> None:
    """Any value of the header: only a token of ours as it was made is let in."""
    subject = verify(value)
    if subject is not None:
        scheme, _, token = value.partition(b" ")
        assert scheme.lower() == b"bearer"
        assert token.strip() in VALID, "another spelling of a token is let in"


def sign(header: bytes, claims: bytes, secret: Secret = SECRETS[0]) -> bytes:
    """A token with these bytes in its parts and a right signature."""
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims)]
    mac = hmac.digest(secret.reveal(), b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")])


CLAIMS = {"sub": "alice", "type": "access", "scopes": [SCOPE], "exp": NOW + 3600}
CLAIM_NAMES = (
    "sub", "user_id", "type", "scopes", "scope", "exp", "nbf", "iat", "iss", "aud", "jti",
)  # fmt: skip
HEADER = {"alg": "HS256", "typ": "JWT", "kid": SECRETS[0].kid}
HEADER_NAMES = ("alg", "typ", "kid", "crit", "b64", "jku", "jwk", "x5u")
LEAVES = (
    "HS256", "none", "HS384", "RS256", "hs256", SECRETS[0].kid, SECRETS[1].kid, NOW, NOW + 9,
    NOW + 0.5, NOW - 99, "access", SCOPE, f"x {SCOPE}", [SCOPE], ["exp"], ["b64"], False, "",
)  # fmt: skip
PARTS = st.tuples(
    st.dictionaries(st.sampled_from(HEADER_NAMES), values((), LEAVES), max_size=2).map(
        lambda more: encode(HEADER | more)
    ),
    st.dictionaries(st.sampled_from(CLAIM_NAMES), values((), LEAVES), max_size=3).map(
        lambda more: encode(CLAIMS | more)
    ),
)
ODD_PARTS = (
    b"[" * 3000, b'{"alg":' + b"[" * 3000, b'{"a":' * 1000, b"null", b"[]", b"7", b'"x"', b"{",
    b"\xff\xfe", b'{"alg":"HS256","alg":"none"}', '{"alg":"HS256"}'.encode("utf-16"),
    '{"alg":"HS256"}'.encode("utf-32"), b"\xef\xbb\xbf" + encode(HEADER),
    b'{"alg":"HS256","kid":' + b"9" * 5000 + b"}", b"9" * 4400, encode(HEADER) + b" ",
)  # fmt: skip
ODD_CLAIMS = (*ODD_PARTS, encode(CLAIMS).decode().encode("utf-16"), encode(CLAIMS) + b"\0")


def check_signed(value: tuple[bytes, bytes]) -> None:
    """A right signature around anything: a principal or a refusal, with and without rules. It is
    made by the holder of a secret, so what matters is that nothing else is raised.
    """
    token = b"Bearer " + sign(*value)
    verify(token)
    rules = TokenRules(issuer="https://a.example", audience="mcpd")
    verify(token, rules)


def check_changed(value: tuple[int, int, int, str]) -> None:
    """One character of a valid token replaced, put in or taken out: never let in."""
    number, at, kind, character = value
    token = VALID[number].decode()
    at %= len(token)
    changed = token[:at] + (character if kind else "") + token[at + (kind != 1) :]
    if changed.strip() != token:  # white space around it is none of its characters
        assert verify(b"Bearer " + changed.encode("latin-1")) is None, "a changed token is let in"


@functools.cache
def sealer() -> Sealer:
    """With fixed keys."""
    return Sealer("fuzz", SECRETS)


SEALED = [sealer().seal(b'{"a":1}'), sealer().seal(b""), sealer().seal(b"xy")]


def check_seal(text: str) -> None:
    """What was sealed opens, any other text does not, and there is no second spelling."""
    try:
        sealer().open(text)
    except BrokenSeal:
        assert text not in SEALED
    else:
        assert text in SEALED, "another spelling of a seal is opened"


def check_changed_seal(value: tuple[int, int, int, str]) -> None:
    """The same for one changed character."""
    number, at, kind, character = value
    text = SEALED[number % len(SEALED)]
    at %= len(text)
    check_seal(text[:at] + (character if kind else "") + text[at + (kind != 1) :])


TOKENS = (*COMMON, b"Bearer ", b"bearer ", b"Basic ", b"  ", b"==", b"..", *VALID)
CHANGES = st.tuples(
    st.integers(0, len(VALID) - 1), st.one_of(st.integers(0, 400), st.just(-1)), st.integers(0, 2),
    st.one_of(st.sampled_from(ALPHABET), st.sampled_from("=. +/\n\xff")),
)  # fmt: skip
EVERY_LAST = tuple(
    (number, place, 2, character)
    for number, token in enumerate(VALID)
    for place in (token.index(b".") - 1, token.rindex(b".") - 1, len(token) - 1)
    for character in (ALPHABET if place == len(token) - 1 else "ABQgw-_")
)
TARGETS = [
    Target("authorization",
           mutated([b"Bearer " + token for token in (*VALID, FOREIGN, NONE)], TOKENS), check_value,
           (b"", b"Bearer", b"Bearer ", b"Bearer " + FOREIGN, b"Bearer " + NONE), short=80),
    Target("signed-token", PARTS, check_signed,
           (*((part, encode(CLAIMS)) for part in ODD_PARTS),
            *((encode(HEADER), part) for part in ODD_CLAIMS)), short=80),
    Target("changed-token", CHANGES, check_changed, EVERY_LAST, short=80),
    Target("seal", mutated([text.encode() for text in SEALED]).map(lambda b: b.decode("latin-1")),
           check_seal, (*SEALED, ""), short=80),
    Target("changed-seal", CHANGES, check_changed_seal,
           tuple((n, at, 2, c) for n in range(3) for at in (-1, -2, -3) for c in ALPHABET),
           short=60),
]  # fmt: skip
