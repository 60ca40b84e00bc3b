"""API keys and revocations over HTTP, and what attackers try with them."""

import logging
import time
from functools import partial

import jwt
import pytest
import trio

from mcpd.auth.api_keys import new_key
from mcpd.auth.revocation import ANY_ISSUER, Revocation
from mcpd.errors import StoreError
from mcpd.operations.key_issue import issue_key
from mcpd.sessions.sqlite.credentials import SqliteCredentials
from tests.in_process import META, HandshakeClient, modern, modern_headers, serving
from tests.mcp.demo_app import make_app
from tests.mcp.transports.test_credentials_end import OPENERS, read_to_end

KEYS = "/api/keys"


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path, [make_app()]) as server:
        yield server


@pytest.fixture
def store(server):
    return server.server.credentials.store


@pytest.fixture
async def admin(server):
    scopes = ("execute:mcp", "admin:mcp")
    return server.connect(token=server.token("root", scopes=scopes))


async def issue(store, **members):
    given = {"owner": "alice", "name": "test", "now": time.time(), **members}
    return await issue_key(store, **given)


async def status(server, credential: str, *, address: str = "127.0.0.1") -> int:
    peer = server.connect(token=credential, address=address)
    return (await modern(peer, "tools/list")).status


async def look(server) -> None:
    """As the server does twice a second."""
    await server.server.credentials.look()


# --- what a key is good for ------------------------------------------------------------------


async def test_a_key_acts_for_its_owner(server, store):
    _, text = await issue(store)
    client = HandshakeClient(server.connect(token=text))
    await client.open()
    others = HandshakeClient(server.user("alice"))  # the same user, by a token
    others.id, others.version = client.id, client.version
    assert (await others.call("tools/list")).status == 200
    stranger = HandshakeClient(server.user("bob"))
    stranger.id, stranger.version = client.id, client.version
    assert (await stranger.call("tools/list")).status == 404


async def test_a_key_is_made_shown_once_listed_and_revoked_over_http(server, admin):
    wanted = {"owner": "alice", "name": "laptop", "addresses": ["127.0.0.1/32"]}
    made = await admin.request("POST", KEYS, json=wanted)
    assert made.status == 201, made
    assert made.headers["cache-control"] == "no-store"
    body = made.json()
    assert (body["subject"], body["scopes"]) == ("alice", ["execute:mcp"])
    assert 89 < (body["expires_at"] - time.time()) / 86400 < 91
    text = body["key"]
    assert await status(server, text) == 200
    listed = await admin.request("GET", KEYS)
    assert [one["id"] for one in listed.json()["keys"]] == [body["id"]]
    one = await admin.request("GET", f"{KEYS}?id={body['id']}")
    assert one.json()["name"] == "laptop"
    for shown in (listed, one):
        assert text.encode()[-40:] not in shown.body
        assert b"digest" not in shown.body
    gone = await admin.request("DELETE", f"{KEYS}?id={body['id']}")
    assert gone.status == 200
    await look(server)
    assert await status(server, text) == 401


async def test_use_is_noted(server, store):
    record, text = await issue(store)
    assert await status(server, text) == 200
    await server.server.credentials._note_used()
    noted = await store.find_key(record.id)
    assert time.time() - noted.last_used < 60


# --- attacks ---------------------------------------------------------------------------------


async def refusal(server, credential, **options) -> str:
    peer = server.connect(token=credential, **options)
    reply = await modern(peer, "tools/list")
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith('Bearer realm="mcpd"')
    assert credential not in str(reply)
    return reply.json()["error_description"]


async def test_an_invented_key_is_refused(server, store):
    await issue(store)
    assert "there is no such key" in await refusal(server, new_key()[1])


async def test_a_key_of_another_secret_with_a_known_id_is_refused(server, store):
    record, text = await issue(store)
    _, other = new_key()
    from mcpd.auth import api_keys

    start = f"mcpd_{record.id}_{other.split('_')[2][:43]}"
    forged = start + api_keys._check(start)
    assert "there is no such key" in await refusal(server, forged)
    assert await status(server, text) == 200


async def test_a_mistyped_key_costs_no_look_at_the_store(server, store, monkeypatch):
    _, text = await issue(store)

    async def fail(key_id):
        raise AssertionError("looked")

    monkeypatch.setattr(SqliteCredentials, "find_key", lambda self, key_id: fail(key_id))
    assert "mistyped" in await refusal(server, text[:-1] + ("A" if text[-1] != "A" else "B"))
    assert "mistyped" in await refusal(server, "mcpd_x")


async def test_a_revoked_key_is_refused_on_the_connection_that_it_opened(server, store):
    record, text = await issue(store)
    peer = server.connect(token=text)
    assert (await modern(peer, "tools/list")).status == 200
    await store.revoke_key(record.id, time.time())
    await look(server)
    refused = await modern(peer, "tools/list")
    assert refused.status == 401
    assert "it was revoked" in refused.json()["error_description"]


async def test_an_expired_key_is_refused_on_the_connection_that_it_opened(server, store):
    _, text = await issue(store, ttl_s=60)
    peer = server.connect(token=text)
    assert (await modern(peer, "tools/list")).status == 200
    server.server.authenticator._clock = lambda: time.time() + 61
    refused = await modern(peer, "tools/list")
    assert "it has expired" in refused.json()["error_description"]


async def test_a_key_is_taken_from_its_addresses_alone(server, store):
    _, text = await issue(store, addresses=["127.0.0.1"])
    assert await status(server, text) == 200
    assert "address" in await refusal(server, text, address="127.0.0.2")


async def test_a_key_without_the_scope_is_told_so(server, store):
    _, text = await issue(store, scopes=["other"])
    reply = await modern(server.connect(token=text), "tools/list")
    assert reply.status == 403
    assert "insufficient_scope" in reply.headers["www-authenticate"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_keys_are_administered_with_the_admin_scope_alone(server, store, method):
    _, text = await issue(store)
    for credential in (server.token(), text):
        reply = await server.connect(token=credential).request(method, KEYS, json={})
        assert reply.status == 403
    assert (await server.connect().request(method, KEYS, json={})).status == 401


async def test_no_key_has_more_scopes_than_its_maker(server, admin):
    wanted = {"owner": "alice", "name": "x", "scopes": ["execute:mcp", "deploy:mcp"]}
    reply = await admin.request("POST", KEYS, json=wanted)
    assert reply.status == 403
    assert "deploy:mcp" in reply.json()["error_description"]


@pytest.mark.parametrize(
    "wanted",
    [
        {}, [], {"owner": "a"}, {"owner": "", "name": "x"}, {"owner": "a\nb", "name": "x"},
        {"owner": "a", "name": "x" * 65}, {"owner": "a", "name": "x", "expires_in_s": 0},
        {"owner": "a", "name": "x", "expires_in_s": 1e12}, {"owner": "a", "name": "x", "id": "i"},
        {"owner": "a", "name": "x", "addresses": ["here"]}, {"owner": "a" * 257, "name": "x"},
    ],
)  # fmt: skip
async def test_wrong_wishes_are_refused(server, admin, wanted):
    reply = await admin.request("POST", KEYS, json=wanted)
    assert reply.status == 400, reply


async def test_a_key_is_never_logged(server, store, caplog):
    caplog.set_level(logging.DEBUG)
    _, text = await issue(store)
    assert await status(server, text) == 200
    await refusal(server, text[:-1])
    assert text.split("_")[2][:20] not in caplog.text


# --- revocation of tokens --------------------------------------------------------------------


async def test_one_token_is_revoked_by_its_id(server, store):
    one, other = server.token(), server.token()
    token_id = jwt.decode(one, options={"verify_signature": False})["jti"]
    assert await status(server, one) == 200
    await store.revoke(Revocation("token", token_id))
    await look(server)
    assert "it was revoked" in await refusal(server, one)
    assert await status(server, other) == 200


async def test_all_tokens_of_a_user_before_a_moment_are_revoked(server, store):
    now = int(time.time())
    old, new, others = server.token(now=now - 9), server.token(now=now), server.token("bob")
    await store.revoke(Revocation("subject", "alice", before=now - 1.0))
    await look(server)
    assert "it was revoked" in await refusal(server, old)
    assert await status(server, new) == 200
    assert await status(server, others) == 200


@OPENERS
async def test_a_stream_ends_when_what_opened_it_is_revoked_and_no_other(
    server, store, open_stream
):
    peer = await open_stream(server)
    assert (await peer.head()).status_code == 200
    await store.revoke(Revocation("subject", "bob", before=time.time() + 5))
    await look(server)
    with trio.move_on_after(0.2) as still_open:
        while await peer.piece() is not None:
            pass
    assert still_open.cancelled_caught
    await store.revoke(Revocation("subject", "alice", before=time.time() + 5))
    await look(server)
    await read_to_end(peer)


async def test_nothing_is_let_in_before_it_is_known_what_was_revoked(tmp_path):
    store = SqliteCredentials(tmp_path / "credentials.sqlite")
    await store.revoke(Revocation("subject", "alice", before=time.time() + 5))
    store.close()
    async with serving(tmp_path, [make_app()]) as server:
        token, others = server.token(), server.token("bob")
        assert await status(server, others) == 503
        await server.server.credentials.look_first()
        assert await status(server, others) == 200
        assert await status(server, token) == 401


async def test_a_new_secret_brings_no_revoked_token_back(server, store):
    token = server.token(now=int(time.time()) - 9)
    await store.revoke(Revocation("subject", "alice", before=time.time()))
    await look(server)
    from mcpd.server.jwt_secrets import find_secrets

    server.server.credentials.use(server.config, find_secrets(server.config, {}, create=False))
    assert await status(server, token) == 401


async def test_a_key_makes_no_keys(server, store):
    _, text = await issue(store, scopes=["execute:mcp", "admin:mcp"])
    peer = server.connect(token=text)
    assert (await peer.request("GET", KEYS)).status == 200
    reply = await peer.request("POST", KEYS, json={"owner": "alice", "name": "x"})
    assert reply.status == 403
    assert "does not make keys" in reply.json()["error_description"]


async def test_who_made_a_key_is_kept_and_said(server, admin, caplog):
    caplog.set_level(logging.INFO)
    made = (await admin.request("POST", KEYS, json={"owner": "alice", "name": "x"})).json()
    assert made["created_by"] == "root"
    assert f"API key {made['id']} of alice is made" in caplog.text


async def test_a_token_of_any_issuer_is_revoked_unless_one_is_named(server, store):
    token = server.token(now=int(time.time()) - 9, issuer="https://id.example")
    assert await status(server, token) == 200
    await store.revoke(Revocation("subject", "alice", "https://other.example", time.time()))
    await look(server)
    assert await status(server, token) == 200
    await store.revoke(Revocation("subject", "alice", ANY_ISSUER, time.time()))
    await look(server)
    assert await status(server, token) == 401


@pytest.mark.parametrize(
    ("token_id", "told"), [("\ud800", 200), ("\x1b[2J", 200), ("x" * 300, 401)]
)
async def test_an_odd_jti_harms_nothing(server, token_id, told):
    from mcpd.server.jwt_secrets import find_secrets

    secret = find_secrets(server.config, {}, create=False).secrets[0]
    claims = {"sub": "alice", "type": "access", "scopes": ["execute:mcp"], "jti": token_id,
              "exp": time.time() + 60}  # fmt: skip
    text = jwt.encode(claims, secret.reveal(), algorithm="HS256", headers={"kid": secret.kid})
    assert await status(server, text) == told


async def test_a_stream_that_opens_while_its_key_is_revoked_ends(server, store, monkeypatch):
    record, text = await issue(store)
    client = HandshakeClient(server.connect(token=text))
    await client.open()
    events, newest = server.server.runtime.streams.events, type(server.server.backend.events).newest

    async def revoke_meanwhile(session_id):
        await store.revoke_key(record.id, time.time())
        await look(server)
        return await newest(events, session_id)

    monkeypatch.setattr(events, "newest", revoke_meanwhile)
    peer = server.connect(token=text)
    await peer.begin("GET", "/mcp/", headers=client.headers)
    await peer.head()
    await read_to_end(peer)


async def test_a_store_that_lost_revocations_lets_nothing_in_again(server, store, monkeypatch):
    token = server.token(now=int(time.time()) - 9)
    await store.revoke(Revocation("subject", "alice", before=time.time()))
    await store.revoke(Revocation("subject", "bob", before=time.time()))
    await look(server)

    async def version() -> int:
        return 1

    async def nothing(now: float) -> list[Revocation]:
        return []

    monkeypatch.setattr(store, "version", version)
    monkeypatch.setattr(store, "revocations", nothing)
    await look(server)
    assert await status(server, token) == 401


async def test_a_fault_of_the_store_is_said_and_changes_nothing(server, store, monkeypatch):
    async def version() -> int:
        raise TypeError("what is this?")

    token = server.token()
    monkeypatch.setattr(store, "version", version)
    await server.server.credentials.look_first()
    assert await status(server, token) == 200
    ready = await server.connect().request("GET", "/health/ready")
    assert (ready.status, ready.json()["missing"]) == (503, ["credentials damaged"])
    health = await server.connect().request("GET", "/health")
    assert (health.status, health.json()["status"]) == (200, "degraded")


async def test_uses_that_could_not_be_noted_are_noted_later(server, store, monkeypatch):
    record, text = await issue(store)
    assert await status(server, text) == 200

    async def away(used: object) -> None:
        raise StoreError("away")

    with monkeypatch.context() as broken:
        broken.setattr(store, "note_used", away)
        assert await server.server.credentials._try(server.server.credentials._note_used)
    await server.server.credentials._note_used()
    assert (await store.find_key(record.id)).last_used is not None


async def test_use_is_noted_on_a_connection_that_is_kept(server, store):
    record, text = await issue(store)
    peer = server.connect(token=text)
    for _ in range(2):
        assert (await modern(peer, "tools/list")).status == 200
        await server.server.credentials._note_used()
        noted = (await store.find_key(record.id)).last_used
        assert noted is not None
        server.server.credentials._clock = partial(float, noted + 77)
    assert (await store.find_key(record.id)).last_used == noted
    assert noted > time.time() + 70


async def by_header(server, text, **more):
    peer = server.connect()
    headers = [*modern_headers("tools/list"), ("x-api-key", text), *more.items()]
    params = {"_meta": META}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}
    return (await peer.request("POST", "/mcp/", json=message, headers=headers)).status


async def test_a_key_in_a_header_of_its_own_counts_only_where_that_is_wanted(tmp_path):
    for wanted, status_of_key in ((False, 401), (True, 200)):
        folder = tmp_path / str(wanted)
        async with serving(folder, store="sqlite", api_key_header=wanted) as server:
            _, text = await issue(server.server.credentials.store)
            assert await by_header(server, text) == status_of_key
            assert await by_header(server, "nonsense") == 401
            token = f"Bearer {server.token()}"
            assert await by_header(server, "nonsense", authorization=token) == 200
