"""How an API key looks, and what is kept of it."""

import re

import msgspec
import pytest

from mcpd.auth.api_keys import (
    KeyRecord,
    digest_of,
    id_of,
    looks_like_key,
    networks,
    new_key,
)
from mcpd.auth.principals import Principal
from mcpd.auth.revocation import Credential, Revocation, Revocations
from mcpd.errors import ConfigError


def record(text: str, **members) -> KeyRecord:
    given = {"id": "x", "digest": digest_of(text), "name": "n", "subject": "s", "created_at": 0.0}
    return KeyRecord(**{**given, **members})


def test_a_key_can_be_found_in_a_text_and_its_id_read():
    key_id, text = new_key()
    found = re.search(r"mcpd_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", f"secret={text};")
    assert found is not None
    assert found[0] == text
    assert id_of(text) == key_id
    assert looks_like_key(text)


def test_keys_differ_wholly():
    assert len({part for _ in range(200) for part in new_key()}) == 400


def test_a_mistyped_key_is_none():
    _, text = new_key()
    for place in range(len(text)):
        other = "A" if text[place] != "A" else "B"
        assert id_of(text[:place] + other + text[place + 1 :]) is None, place
    for wrong in ("", "mcpd_", text[:-1], text + "x", text.upper(), f" {text}", f"{text}\n"):
        assert id_of(wrong) is None


def test_only_the_digest_is_kept_and_not_even_that_is_shown():
    _, text = new_key()
    kept = record(text)
    secret = text.rpartition("_")[2]
    assert secret.encode() not in msgspec.json.encode(kept)
    assert "digest" not in kept.shown()
    assert kept.is_text(text)
    assert not kept.is_text(new_key()[1])


@pytest.mark.parametrize(
    ("given", "address", "taken"),
    [
        ((), "203.0.113.9", True),
        ((), "unix", True),
        (("10.0.0.0/8",), "10.200.3.4", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8",), "::ffff:10.1.1.1", True),
        (("10.0.0.0/8",), "unix", False),
        (("192.0.2.7",), "192.0.2.7", True),
        (("2001:db8::/32", "127.0.0.1"), "2001:db8::5%eth0", True),
        (("2001:db8::/32", "127.0.0.1"), "127.0.0.1", True),
        (("2001:db8::/32", "127.0.0.1"), "2001:db9::5", False),
    ],
)
def test_addresses_from_which_a_key_is_taken(given, address, taken):
    assert record("x", addresses=networks(given)).takes(address) is taken


@pytest.mark.parametrize("wrong", ["", "here", "10.0.0.0/40", "1.2.3"])
def test_what_is_no_range_of_addresses(wrong):
    with pytest.raises(ConfigError):
        networks((wrong,))


ALICE, BOB = Principal("alice"), Principal("bob")
ELSEWHERE = Principal("alice", "https://id.example")


@pytest.mark.parametrize(
    ("revocation", "principal", "credential", "covered"),
    [
        (Revocation("key", "k1"), ALICE, Credential(key_id="k1"), True),
        (Revocation("key", "k1"), ALICE, Credential(key_id="k2"), False),
        (Revocation("key", "k1"), ALICE, Credential(token_id="k1"), False),
        (Revocation("token", "j"), ALICE, Credential(token_id="j", issued_at=5), True),
        (Revocation("token", "j"), ELSEWHERE, Credential(token_id="j"), False),
        (Revocation("token", "k1"), ALICE, Credential(key_id="k1"), False),
        (Revocation("subject", "alice", before=9), ALICE, Credential(issued_at=8), True),
        (Revocation("subject", "alice", before=9), ALICE, Credential(issued_at=9), False),
        (Revocation("subject", "alice", before=9), ALICE, Credential(), True),
        (Revocation("subject", "alice", before=9), BOB, Credential(issued_at=8), False),
        (Revocation("subject", "alice", before=9), ELSEWHERE, Credential(issued_at=8), False),
        (Revocation("subject", "alice", before=9), ALICE, Credential(key_id="k1"), False),
    ],
)
def test_what_a_revocation_covers(revocation, principal, credential, covered):
    assert Revocations([revocation]).covers(principal, credential) is covered
