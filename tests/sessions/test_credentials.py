"""One contract, every store of credentials."""

import math

import pytest

from mcpd.auth import credential_store
from mcpd.auth.api_keys import KeyRecord
from mcpd.auth.credential_store import KEEP_EXPIRED_S, MAX_KEYS_PER_OWNER
from mcpd.auth.revocation import Revocation
from mcpd.errors import StoreError, TooManyRequests
from mcpd.sessions.sqlite.credentials import SqliteCredentials
from tests.sessions.stores import KINDS, fresh_of, opened


@pytest.fixture(params=[kind for kind in KINDS if kind != "memory"])
async def store(request, tmp_path):
    if request.param == "sqlite":
        found = SqliteCredentials(tmp_path / "c.sqlite")
        yield found
        found.close()
        return
    async with opened(request.param, tmp_path, url=fresh_of(request)) as backend:
        yield backend.credentials


def key(key_id: str = "k1", **members) -> KeyRecord:
    given = {
        "id": key_id, "digest": b"\x00\xff" * 16, "name": "laptop", "subject": "alice",
        "scopes": ("a", "b"), "created_at": 100.0, "expires_at": 1000.0,
    }  # fmt: skip
    return KeyRecord(**{**given, **members})


async def test_a_store_that_nobody_has_written_is_empty(store):
    assert await store.version() == 0
    assert await store.find_key("k1") is None
    assert await store.list_keys() == []
    assert await store.revocations(0.0) == []
    assert not await store.revoke_key("k1", 1.0)
    await store.sweep(1e9)


async def test_keys_are_found_and_listed_the_newest_first(store):
    await store.add_key(key())
    first = await store.version()
    new = key("k2", created_at=200.0, expires_at=None, addresses=("10.0.0.0/8",), issuer="i")
    await store.add_key(new)
    assert await store.version() != first
    assert await store.find_key("k1") == key()
    assert await store.list_keys() == [new, key()]


async def test_a_key_is_revoked_once_and_for_good(store):
    await store.add_key(key())
    before = await store.version()
    assert await store.revoke_key("k1", 500.0)
    assert await store.version() != before
    assert (await store.find_key("k1")).revoked_at == 500.0
    assert await store.revoke_key("k1", 600.0)
    assert (await store.find_key("k1")).revoked_at == 500.0
    assert await store.revocations(999.0) == [Revocation("key", "k1", expires_at=1000.0)]
    assert await store.revocations(1000.0) == []


async def test_a_key_without_an_end_is_revoked_for_ever(store):
    await store.add_key(key(expires_at=None))
    await store.revoke_key("k1", 500.0)
    (found,) = await store.revocations(1e11)
    assert found.expires_at == math.inf


async def test_use_is_noted_and_changes_nothing_else(store):
    await store.add_key(key())
    before = await store.version()
    await store.note_used({"k1": 321.5, "nothing": 1.0})
    assert (await store.find_key("k1")).last_used == 321.5
    assert [found.last_used for found in await store.list_keys()] == [321.5]
    assert await store.version() == before


async def test_a_user_has_a_bounded_number_of_keys(store):
    for number in range(MAX_KEYS_PER_OWNER):
        await store.add_key(key(f"k{number}"))
    with pytest.raises(TooManyRequests, match="at most"):
        await store.add_key(key("more"))
    await store.add_key(key("other", subject="bob"))
    await store.revoke_key("k0", 1.0)
    await store.add_key(key("more"))


async def test_revocations_of_tokens_join_and_end(store):
    await store.revoke(Revocation("subject", "alice", "", 50.0, 900.0))
    await store.revoke(Revocation("subject", "alice", "", 40.0, 800.0))
    await store.revoke(Revocation("token", "alice", "", expires_at=700.0))
    found = sorted(await store.revocations(0.0), key=lambda one: one.kind)
    assert found == [
        Revocation("subject", "alice", "", 50.0, 900.0),
        Revocation("token", "alice", "", expires_at=700.0),
    ]
    assert len(await store.revocations(750.0)) == 1


async def test_revocations_are_bounded(store, monkeypatch):
    module = type(store).__module__
    monkeypatch.setattr(f"{module}.MAX_REVOCATIONS", 2)
    for name in ("a", "b"):
        await store.revoke(Revocation("token", name))
    with pytest.raises(TooManyRequests, match=str(credential_store.MAX_REVOCATIONS)):
        await store.revoke(Revocation("token", "c"))


async def test_what_is_over_is_forgotten_after_a_while(store):
    await store.add_key(key("old"))
    await store.add_key(key("revoked", expires_at=None))
    await store.add_key(key("valid", expires_at=None))
    await store.revoke_key("revoked", 1000.0)
    await store.revoke(Revocation("token", "t", expires_at=1000.0))
    await store.sweep(1000.0 + KEEP_EXPIRED_S - 1)
    assert len(await store.list_keys()) == 3
    await store.sweep(1000.0 + KEEP_EXPIRED_S)
    assert [found.id for found in await store.list_keys()] == ["valid"]
    assert [one.name for one in await store.revocations(0.0)] == ["revoked"]


async def test_keys_that_are_over_do_not_count(store, monkeypatch):
    for number in range(MAX_KEYS_PER_OWNER):
        await store.add_key(key(f"k{number}", created_at=1.0, expires_at=50.0))
    monkeypatch.setattr(f"{type(store).__module__}.MAX_KEYS", MAX_KEYS_PER_OWNER)
    await store.add_key(key("new", created_at=60.0))
    assert [found.id for found in await store.list_keys()] == ["new"]


async def test_a_user_can_be_revoked_however_many_tokens_are(store, monkeypatch):
    monkeypatch.setattr(f"{type(store).__module__}.MAX_REVOCATIONS", 1)
    await store.revoke(Revocation("token", "a"))
    await store.revoke(Revocation("token", "a"))
    await store.revoke(Revocation("subject", "alice", before=9.0))
    assert len(await store.revocations(0.0)) == 2


async def break_records(store) -> None:
    if isinstance(store, SqliteCredentials):
        database = await store._database()
        for statement in ("UPDATE api_key SET record = x'7b7d'", "DELETE FROM change"):
            await database.write(lambda db, statement=statement: db.execute(statement))
    else:
        await store._redis.call("HSET", store._keys, "k1", b"{}")


async def test_what_is_damaged_is_an_error_of_the_store(store):
    await store.add_key(key())
    await break_records(store)
    for ask in (store.find_key("k1"), store.list_keys()):
        with pytest.raises(StoreError, match="damaged"):
            await ask
    if isinstance(store, SqliteCredentials):
        with pytest.raises(StoreError, match="damaged"):
            await store.version()


async def test_kinds_of_revocation_of_a_newer_version_are_left_alone(store):
    await store.revoke(Revocation("token", "a"))
    if isinstance(store, SqliteCredentials):
        database = await store._database()
        row = "INSERT INTO revocation VALUES ('future', '', 'x', 0, NULL)"
        await database.write(lambda db: db.execute(row))
    else:
        future = b'{"kind":"future","name":"x"}'
        await store._redis.call("HSET", store._revoked, "f", future)
    assert [one.name for one in await store.revocations(0.0)] == ["a"]
    await store.sweep(1e9)


@pytest.mark.parametrize("is_replaced", [True, False])
async def test_a_file_that_is_replaced_or_removed_is_noticed(tmp_path, caplog, is_replaced):
    path = tmp_path / "c.sqlite"
    store = SqliteCredentials(path)
    await store.add_key(key())
    other = SqliteCredentials(tmp_path / "d.sqlite")
    await other.add_key(key("k2"))
    other.close()
    if is_replaced:
        (tmp_path / "d.sqlite").rename(path)
    else:
        path.unlink()
    for _ in range(2):
        for ask in (store.version(), store.find_key("k1"), store.revoke_key("k1", 1.0)):
            with pytest.raises(StoreError, match="gone"):
                await ask
    assert caplog.text.count("removed or replaced") == 1
    store.close()


async def test_two_processes_of_one_file_see_each_other(tmp_path):
    one, other = (SqliteCredentials(tmp_path / "c.sqlite") for _ in range(2))
    assert await other.version() == 0
    await one.add_key(key())
    assert await other.find_key("k1") == key()
    before = await one.version()
    await other.revoke_key("k1", 5.0)
    assert await one.version() != before
    one.close()
    other.close()
