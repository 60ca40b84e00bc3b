"""What someone tries who wants more than is his: each is refused, and tells nothing.

Attacks on credentials themselves are in ``test_keys.py`` and ``tests/auth``, on roles over the wire
in ``tests/mcp/test_roles.py``, on labels in ``tests/telemetry``, on limits in ``test_limits.py``.
"""

import json
import subprocess
import sys

import pytest
import trio

from mcpd.access.rules import AccessRules, Role, read_rules
from tests.end_to_end.daemon import Daemon
from tests.in_process import HandshakeClient, modern, serving
from tests.mcp.demo_app import make_app

APP = """
from mcpd import App
app = App("guarded")

@app.tool
def get_it() -> str:
    return "it"

@app.tool(scopes=["files:write"])
def put_it() -> str:
    return "put"
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "guarded.py").write_text(APP)
    config = tmp_path / "mcpd.toml"
    config.write_text('[roles.all]\nscopes = ["files:write"]\n[users]\nalice = ["all"]\n')
    flags = ("--port", "0", "--app", f"{tmp_path}/guarded.py:app", "--config", str(config))
    return flags, config


async def names(daemon: Daemon, token: str) -> list[str]:
    peer = await daemon.connect(token=token)
    async with peer.stream:
        listed = await modern(peer, "tools/list")
    return [tool["name"] for tool in listed.json()["result"]["tools"]]


@pytest.mark.slow
async def test_a_role_that_is_taken_away_is_gone_with_a_reload_and_ends_streams(tmp_path, files):
    flags, config = files
    with Daemon(tmp_path / "s", *flags) as daemon:
        token = daemon.token()
        assert await names(daemon, token) == ["get_it", "put_it"]
        assert await daemon.status(daemon.token(sub="bob")) == 403
        client = HandshakeClient(await daemon.connect(token=token))
        await client.open()
        stream = await daemon.connect(token=token)
        await stream.begin("GET", "/mcp/", headers=client.headers)
        assert (await stream.head()).status_code == 200
        config.write_text('[roles.few]\ntools = ["get_*"]\n[users]\nalice = ["few"]\n')
        done = daemon.reload()
        assert done.returncode == 0, done
        assert "roles, limits and who has which: new" in done.stderr
        with trio.fail_after(30):
            while await stream.piece() is not None:
                pass
        assert await names(daemon, token) == ["get_it"]
        reply = await client.call("tools/call", {"name": "put_it"})  # on a connection of before
        assert "Unknown tool" in reply.json()["error"]["message"]
        config.write_text('[roles.few]\ntoools = ["get_*"]\n')
        assert daemon.reload().returncode != 0
        assert await names(daemon, token) == ["get_it"]
        for peer in (client.peer, stream):
            await peer.stream.aclose()


@pytest.mark.slow
async def test_a_key_has_no_more_than_its_owner_whenever_that_changes(tmp_path, files):
    flags, config = files
    words = ("--state-dir", str(tmp_path / "s"), "--config", str(config))
    create = [sys.executable, "-m", "mcpd", "key", "create", *words, "--name", "k"]
    with Daemon(tmp_path / "s", *flags) as daemon:
        daemon.wait_for("listening on")
        refused = subprocess.run(
            [*create, "--owner", "alice", "--scope", "admin:mcp"], capture_output=True, text=True
        )
        assert refused.returncode != 0
        assert "No role of alice gives admin:mcp" in refused.stderr
        scopes = ("--scope", "execute:mcp", "--scope", "files:write")
        made = subprocess.run(
            [*create, "--owner", "alice", *scopes], capture_output=True, text=True, check=True
        )
        key = made.stdout.strip()
        assert await names(daemon, key) == ["get_it", "put_it"]
        config.write_text("[roles.none]\n[users]\nalice = []\n")
        assert daemon.reload().returncode == 0
        assert await daemon.status(key) == 403


async def test_many_addresses_of_one_network_are_one(tmp_path):
    rules = read_rules({"limits": {"requests_per_minute": 5}}, "a test")
    async with serving(tmp_path, access=rules) as server:
        statuses = []
        for number in range(8):
            guesser = server.connect(address=f"2001:db8:1:2::{number:x}", token="guess")
            statuses.append((await modern(guesser, "tools/list")).status)
        assert statuses == [401] * 5 + [429] * 3
        elsewhere = server.connect(address="2001:db8:1:3::1", token="guess")
        assert (await modern(elsewhere, "tools/list")).status == 401
        assert (await modern(server.connect(token="guess"), "tools/list")).status == 401
        assert (await guesser.request("GET", "/health")).status == 200
        user = server.connect(address="2001:db8:1:2::9", token=server.token())
        assert (await modern(user, "tools/list")).status == 200  # who has a credential is a user


async def test_a_session_is_its_users_alone_and_cannot_be_given_to_another(tmp_path):
    async with serving(tmp_path, [make_app()]) as server:
        theirs = HandshakeClient(server.user("alice"))
        await theirs.open()
        for method in ("POST", "GET", "DELETE"):
            thief = server.user("mallory")
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
            body = {"json": message} if method == "POST" else {}
            reply = await thief.request(method, "/mcp/", headers=theirs.headers, **body)
            assert reply.status == 404, method
        # Fixation: a session that mallory registered and alice is made to use is alice's alone.
        stranger = server.connect()
        made = json.loads((await stranger.request("POST", "/register", json={})).body)
        fixed = [("mcp-session-id", made["session_id"])]
        await HandshakeClient(server.user("alice")).open(headers=fixed)
        reply = await server.user("mallory").request("GET", "/mcp/", headers=fixed)
        assert reply.status == 404


async def test_batches_and_sessions_count_like_single_calls(tmp_path):
    rules = read_rules({"limits": {"calls_per_day": 4}}, "a test")
    async with serving(tmp_path, [make_app()], access=rules) as server:
        client = HandshakeClient(server.user(), "2025-03-26")
        await client.open()
        params = {"name": "add", "arguments": {"a": 1, "b": 1}}
        calls = [
            {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": params} for n in range(6)
        ]
        headers = [("mcp-session-id", client.id), ("accept", "application/json")]
        reply = await client.peer.request("POST", "/mcp/", json=calls, headers=headers)
        assert sum("result" in answer for answer in reply.json()) == 4
        single = await modern(server.user(), "tools/call", params)
        assert single.status == 429
        assert (await modern(server.user("bob"), "tools/call", params)).status == 200


async def test_streams_at_once_and_bytes_are_limited(tmp_path):
    rules = read_rules({"limits": {"streams_at_once": 1, "bytes_per_day": 5000}}, "a test")
    async with serving(tmp_path, [make_app()], access=rules) as server:
        user = server.user()
        big = {"name": "add", "arguments": {"a": 1, "b": 1, "c": "x" * 6000}}
        reply = await modern(user, "tools/call", big)
        assert reply.status == 429
        assert reply.json()["error"]["data"]["limit"] == "bytes_per_day"
        streams = []
        for _ in range(2):
            peer = server.user("bob")
            params = {"notifications": {"toolsListChanged": True}}
            listening = await modern_stream(peer, params)
            streams.append(listening)
        assert [head.status_code for head in streams] == [200, 429]


async def modern_stream(peer, params):
    from tests.in_process import META, modern_headers

    message = {
        "jsonrpc": "2.0", "id": 9, "method": "subscriptions/listen",
        "params": {**params, "_meta": META},
    }  # fmt: skip
    headers = modern_headers("subscriptions/listen")
    await peer.begin("POST", "/mcp/", json=message, headers=headers)
    return await peer.head()


def test_rules_are_values_that_compare():
    assert read_rules({"roles": {"r": {}}}, "x") == AccessRules(roles={"r": Role()})
