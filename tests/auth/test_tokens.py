"""Tokens: what is accepted, what is refused and in which words, and that none is ever shown."""

import base64
import hmac
import json
import logging
import pickle
import time
import traceback
from typing import Any

import jwt
import pytest

from mcpd.auth.authenticator import Authenticator, Sent
from mcpd.auth.seal import BrokenSeal, Sealer
from mcpd.auth.secrets import Secret, create_secret_file, parse_secrets, read_secret_file
from mcpd.auth.tokens import CACHE_ENTRIES, TokenRules, Verifier, create_token
from mcpd.errors import ConfigError, InsufficientScope, McpdError, Unauthorized

OLD = Secret(b"o" * 40)
NEW = Secret(b"n" * 40)
NOW = int(time.time())
CLAIMS = {"sub": "alice", "type": "access", "scopes": ["execute:mcp"], "exp": NOW + 3600}


def sign(claims: dict[str, Any], secret: Secret = NEW, **options: Any) -> bytes:
    options = {"algorithm": "HS256", **options}
    return b"Bearer " + jwt.encode(claims, secret.reveal(), **options).encode()


@pytest.fixture
def verifier():
    return Verifier((NEW, OLD))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"type": "api_token"},
        {"sub": None, "user_id": "alice"},
        {"scopes": "read execute:mcp"},
        {"scopes": None, "scope": "execute:mcp"},
        {"nbf": NOW + 5},
        {"iat": NOW + 86_400},  # the clock was set back since
        {"exp": float(NOW + 3600)},
        {"aud": "anything", "iss": "anyone"},
    ],
)
async def test_these_claims_are_accepted(verifier, changes):
    claims = {name: v for name, v in {**CLAIMS, **changes}.items() if v is not None}
    assert (await verifier.verify(Sent(sign(claims)), NOW)).principal.subject == "alice"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exp": NOW - 60}, "expired at"),
        ({"exp": None}, "no exp"),
        ({"exp": "soon"}, "exp is not a time"),
        ({"exp": True}, "exp is not a time"),
        ({"nbf": NOW + 60}, "not valid before"),
        ({"sub": None}, "names no user"),
        ({"sub": ""}, "names no user"),
        ({"sub": 123}, "as a string"),
        ({"sub": None, "user_id": 123}, "as a string"),
        ({"iss": "a\nb"}, "iss is not"),
        ({"type": None}, "type is neither"),
        ({"sub": "\ud800"}, "not printable"),
        ({"sub": "x" * 300}, "too long"),
        ({"type": "refresh"}, "type is neither"),
    ],
)
async def test_refused_with_a_precise_reason(verifier, changes, words):
    claims = {name: v for name, v in {**CLAIMS, **changes}.items() if v is not None}
    header = sign(claims)
    with pytest.raises(Unauthorized) as caught:
        await verifier.verify(Sent(header), NOW)
    assert words in caught.value.message
    challenge = dict(caught.value.headers)[b"www-authenticate"]
    assert challenge.startswith(b'Bearer realm="mcpd", error="invalid_token", error_description="')
    assert words.encode() in challenge


@pytest.mark.parametrize(
    "header",
    [None, b"", b"Bearer", b"Bearer ", b"Basic abc", b"Bearer a.b.c", b"Bearer \xff\xfe",
     b"Bearer " + b"a" * 9000, b"Bearer a b"],
)  # fmt: skip
async def test_headers_that_are_no_token(verifier, header):
    with pytest.raises(Unauthorized):
        await verifier.verify(Sent(header), NOW)


async def test_the_scheme_is_case_insensitive(verifier):
    assert (
        await verifier.verify(Sent(sign(CLAIMS).replace(b"Bearer", b"bearer")), NOW)
    ).principal.subject == "alice"


async def test_a_token_without_the_scope_is_403(verifier):
    with pytest.raises(InsufficientScope) as caught:
        await Authenticator([verifier]).authenticate(Sent(sign({**CLAIMS, "scopes": ["read"]})))
    assert caught.value.status == 403
    assert b'error="insufficient_scope"' in dict(caught.value.headers)[b"www-authenticate"]


async def test_the_algorithm_is_ours_to_choose(verifier):
    none = b"Bearer " + jwt.encode(CLAIMS, "", algorithm="none").encode()
    for header in (none, sign(CLAIMS, Secret(b"n" * 64), algorithm="HS512")):
        with pytest.raises(Unauthorized) as caught:
            await verifier.verify(Sent(header), NOW)
        assert "algorithm is not HS256" in caught.value.message


def signed(header: bytes, claims: bytes) -> bytes:
    """These bytes as a token, with a right signature."""
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims)]
    mac = hmac.digest(NEW.reveal(), b".".join(parts), "sha256")
    return b"Bearer " + b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")])


HEADER = b'{"alg":"HS256"}'
BODY = json.dumps(CLAIMS).encode()
ODD = [
    ("claims in UTF-16", signed(HEADER, BODY.decode().encode("utf-16"))),
    ("a header in UTF-32", signed(HEADER.decode().encode("utf-32"), BODY)),
    ("a critical extension", signed(b'{"alg":"HS256","crit":["x"],"x":1}', BODY)),
    ("claims without end", signed(HEADER, b'{"a":' * 2000)),
    ("a header without end", signed(b"[" * 3000, BODY)),
    ("claims that are a list", signed(HEADER, b"[" + BODY + b"]")),
    ("an issuer that is a number", signed(HEADER, BODY[:-1] + b', "iss": 7}')),
    ("padding", signed(HEADER, BODY) + b"="),
    ("white space within", signed(HEADER, BODY)[:-3] + b" " + signed(HEADER, BODY)[-3:]),
]


@pytest.mark.parametrize(("what", "header"), ODD, ids=[what for what, _ in ODD])
async def test_a_right_signature_around_something_odd_is_refused(what, header):
    """Whatever the library does with it (RFC 7519, section 7.2; RFC 7515, section 4.1.11)."""
    with pytest.raises(Unauthorized):
        await Verifier((NEW,), TokenRules(issuer="https://a.example")).verify(Sent(header), NOW)
    with pytest.raises(Unauthorized):
        await Verifier((NEW,)).verify(Sent(header), NOW)


async def test_a_token_has_one_spelling(verifier):
    """The last character of a signature has bits to spare: none but zeros are let in."""
    token = sign(CLAIMS)
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for last in set(alphabet) - {token[-1]}:
        with pytest.raises(Unauthorized):
            await verifier.verify(Sent(token[:-1] + bytes([last])), NOW)


def test_a_seal_has_one_spelling():
    sealer = Sealer("test", (NEW,))
    for payload in (b"", b"x", b"xy", b"xyz"):
        sealed = sealer.seal(payload)
        assert sealer.open(sealed) == payload
        at = len(sealed.rstrip("=")) - 1
        for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
            if last != sealed[at]:
                with pytest.raises(BrokenSeal):
                    sealer.open(sealed[:at] + last + sealed[at + 1 :])


async def test_secrets_rotate_without_logging_anyone_out(verifier):
    assert (await verifier.verify(Sent(sign(CLAIMS, OLD)), NOW)).principal.subject == "alice"
    assert (
        await verifier.verify(Sent(sign(CLAIMS, OLD, headers={"kid": OLD.kid})), NOW)
    ).principal.subject == "alice"
    with pytest.raises(Unauthorized):  # kid chooses: the other secret is not tried
        await verifier.verify(Sent(sign(CLAIMS, OLD, headers={"kid": NEW.kid})), NOW)
    with pytest.raises(Unauthorized):
        await verifier.verify(Sent(sign(CLAIMS, Secret(b"x" * 40))), NOW)


async def test_issuer_and_audience_when_configured():
    verifier = Verifier((NEW,), TokenRules(issuer="https://id", audience="mcpd"))
    assert await verifier.verify(
        Sent(sign({**CLAIMS, "iss": "https://id", "aud": ["x", "mcpd"]})), NOW
    )
    for wrong in ({}, {"iss": "https://id"}, {"iss": "x", "aud": "mcpd"},
                  {"iss": "https://id", "aud": "x"}):  # fmt: skip
        with pytest.raises(Unauthorized):
            await verifier.verify(Sent(sign({**CLAIMS, **wrong})), NOW)


async def test_a_cached_token_expires_to_the_second():
    verifier = Verifier((NEW,), TokenRules(leeway_s=0))
    header = sign({**CLAIMS, "exp": NOW + 100})
    assert await verifier.verify(Sent(header), NOW)
    assert await verifier.verify(Sent(header), NOW + 99.9)
    with pytest.raises(Unauthorized):
        await verifier.verify(Sent(header), NOW + 100)


async def test_the_cache_is_bounded_and_holds_no_token(verifier):
    for number in range(CACHE_ENTRIES + 10):
        await verifier.verify(Sent(sign({**CLAIMS, "n": number})), NOW)
    assert len(verifier._cache) == CACHE_ENTRIES
    assert all(len(key) == 32 for key in verifier._cache)


async def test_created_tokens_verify(verifier):
    token = create_token(
        NEW, subject="bob", scopes=("execute:mcp", "x"), token_type="api_token", now=NOW, ttl_s=60
    )
    principal = (await verifier.verify(Sent(f"Bearer {token}".encode()), NOW)).principal
    assert (principal.subject, principal.scopes) == ("bob", {"execute:mcp", "x"})


async def test_nothing_of_a_token_or_secret_shows_anywhere(verifier, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    header = sign({**CLAIMS, "exp": NOW - 60})
    token = header.decode().split()[1]
    try:
        await verifier.verify(Sent(header), NOW)
    except McpdError as error:
        shown = "".join(traceback.format_exception(error)) + repr(error.headers) + caplog.text
    for part in token.split("."):
        assert part not in shown
    path = tmp_path / "short"
    path.write_text("hunter2hunter2")
    with pytest.raises(ConfigError) as caught:
        read_secret_file(path)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    for text in (repr(NEW), str(NEW), f"{NEW}", f"{NEW!r:>40}", repr([NEW]), NEW.kid):
        assert "nnn" not in text
    with pytest.raises(TypeError):
        pickle.dumps(NEW)


def test_secret_files_are_read_and_made_private(tmp_path):
    assert len(parse_secrets(f"# comment\n\n{'a' * 32}\n{'b' * 40}\n", "x")) == 2
    for text in ("", "# only a comment", "short", f"{'a' * 32}\nshort"):
        with pytest.raises(ConfigError):
            parse_secrets(text, "x")
    path = tmp_path / "deep" / "secret"
    create_secret_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(read_secret_file(path).secrets) == 1
    with pytest.raises(FileExistsError):
        create_secret_file(path)
    with pytest.raises(ConfigError):
        read_secret_file(tmp_path / "missing")
