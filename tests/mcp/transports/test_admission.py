"""What a head decided is remembered with the head, and no longer than it holds."""

import time

import pytest

from mcpd.auth.authenticator import Authenticator, Sent
from mcpd.errors import Unauthorized
from mcpd.server.jwt_secrets import find_secrets
from mcpd.sessions.service import Sessions
from tests.in_process import BOTH, META, HandshakeClient, modern, modern_headers, serving
from tests.mcp.demo_app import make_app


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path, [make_app()]) as server:
        yield server


@pytest.fixture
def count(server, monkeypatch):
    """How often a credential was verified."""
    calls = []
    authenticate = Authenticator.authenticate

    async def counted(self, authorization):
        calls.append(authorization)
        return await authenticate(self, authorization)

    monkeypatch.setattr(Authenticator, "authenticate", counted)
    return calls


async def test_a_head_that_is_repeated_is_verified_once(server, count):
    peer = server.user()
    for _ in range(5):
        assert (await modern(peer, "tools/list")).status == 200
    assert len(count) == 1
    assert (await modern(server.user(), "tools/list")).status == 200  # another connection
    assert len(count) == 2


async def test_a_token_that_expires_is_refused_on_the_same_connection(server, monkeypatch):
    now = time.time()
    server.server.authenticator._clock = lambda: now
    peer = server.connect(token=server.token(now=int(now), ttl_s=60))
    assert (await modern(peer, "tools/list")).status == 200
    now += 3600
    refused = await modern(peer, "tools/list")
    assert refused.status == 401
    assert "expired" in refused.json()["error_description"]


async def test_secrets_that_are_replaced_count_at_once(server):
    peer = server.user()
    assert (await modern(peer, "tools/list")).status == 200
    secret = server.config.state_path / "jwt-secret"
    secret.write_text("x" * 64)
    source = find_secrets(server.config, {}, create=False)
    server.server.credentials.use(server.config, source)
    assert (await modern(peer, "tools/list")).status == 401


async def test_a_session_that_ended_is_gone_although_its_head_is_known(server):
    client = HandshakeClient(server.user())
    await client.open()
    assert (await client.call("ping")).status == 200
    assert (await client.call("ping")).status == 200
    session = await server.server.runtime.sessions.find(client.id)
    await server.server.runtime.sessions.end(session)
    assert (await client.call("ping")).status == 404


async def test_a_refusal_is_not_remembered(server, count):
    peer = server.connect(token="nonsense")
    for _ in range(3):
        assert (await modern(peer, "tools/list")).status == 401
    assert len(count) == 3


async def test_the_first_kind_that_recognizes_a_credential_decides():
    class Key:
        def recognizes(self, sent):
            return (sent.authorization or b"").startswith(b"Bearer mcpd_")

        async def verify(self, authorization, now):
            raise Unauthorized("a key")

    class Other:
        def recognizes(self, authorization):
            return True

        async def verify(self, authorization, now):
            raise Unauthorized("another kind")

    authenticator = Authenticator([Key(), Other()])
    for sent, told in ((b"Bearer mcpd_1", "a key"), (b"Bearer ey", "another"), (None, "another")):
        with pytest.raises(Unauthorized, match=told):
            await authenticator.authenticate(Sent(sent))


async def test_secrets_that_are_replaced_while_the_session_is_looked_up_count(server, monkeypatch):
    client = HandshakeClient(server.user())
    await client.open()
    assert (await client.call("ping")).status == 200
    store = server.server.runtime.sessions.store
    get = store.get

    async def replaced_meanwhile(*args, **options):
        (server.config.state_path / "jwt-secret").write_text("x" * 64)
        source = find_secrets(server.config, {}, create=False)
        server.server.credentials.use(server.config, source)
        return await get(*args, **options)

    monkeypatch.setattr(store, "get", replaced_meanwhile)
    monkeypatch.setattr(Sessions, "recall", lambda *args: None)
    assert (await client.call("ping")).status == 401


async def test_two_session_ids_are_refused_in_both_eras(server):
    peer, twice = server.user(), [("mcp-session-id", "a"), ("mcp-session-id", "b")]
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    for headers in (modern_headers("tools/list"), [BOTH]):
        told = await peer.request("POST", "/mcp/", json=message, headers=[*headers, *twice])
        assert told.status == 400
