"""What is remembered of a client's requests gives the answers that making it anew would give."""

import itertools
import random

import msgspec
import pytest

from mcpd.mcp.envelope import params
from tests.in_process import BOTH, META, HandshakeClient, serving
from tests.mcp.demo_app import make_app

VERSION = "io.modelcontextprotocol/protocolVersion"
METAS = [
    None,
    META,
    {**META, "progressToken": 7},
    {**META, "io.modelcontextprotocol/logLevel": "debug"},
    {**META, "io.modelcontextprotocol/logLevel": "loud"},
    {**META, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}},
    {**META, "io.modelcontextprotocol/clientCapabilities": None},
    {**META, VERSION: "2025-11-25"},
    {**META, VERSION: "1999-01-01"},
    {"progressToken": "x"},
    {},
    7,
]
HEADERS = [
    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "add")],
    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "fail")],
    [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "=?base64?YWRk?="),
    ],
    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/list")],
    [("mcp-protocol-version", "2025-06-18")],
    [("mcp-protocol-version", "2025-06-18"), ("content-encoding", "gzip")],
    [],
]
CALLS = [
    ("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}}),
    ("tools/call", {"name": "add", "arguments": {"a": "x"}}),
    ("tools/call", {"name": "add", "arguments": [1]}),
    ("tools/call", {"name": "nothing"}),
    ("tools/call", {"name": ["add"]}),
    ("tools/list", {}),
    ("ping", {}),
    ("no/such", {}),
]
SEQUENCES = range(12)
LENGTH = 60


def bodies() -> list[bytes]:
    made = []
    for (method, given), meta in itertools.product(CALLS, METAS):
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": dict(given)}
        if meta is not None:
            call["params"]["_meta"] = meta
        made.append(msgspec.json.encode(call))
    return [*made, b"", b"[]", b"{", b'{"jsonrpc":"2.0","method":"notifications/x"}']


BODIES = bodies()


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path, [make_app()], calls_per_minute=1e9) as server:
        yield server


def shown(reply) -> tuple[object, ...]:
    kept = {name: value for name, value in reply.headers.items() if name != "date"}
    return reply.status, kept, reply.body


async def send(peer, session_id, headers, body):
    named = [BOTH, ("content-type", "application/json"), *headers]
    if session_id is not None:
        named.append(("mcp-session-id", session_id))
    return shown(await peer.request("POST", "/mcp/", body=body, headers=named))


@pytest.mark.parametrize("seed", SEQUENCES)
async def test_a_connection_that_remembers_answers_as_a_fresh_one(server, seed):
    client = HandshakeClient(server.user())
    await client.open()
    rng, known = random.Random(seed), server.user()
    some_headers, some_bodies = rng.sample(HEADERS, 3), rng.sample(BODIES, 8)
    for _ in range(LENGTH):
        session_id = rng.choice([None, client.id, client.id, "unknown"])
        headers, body = rng.choice(some_headers), rng.choice(some_bodies)
        remembered = await send(known, session_id, headers, body)
        params._known_meta.cache_clear()
        assert remembered == await send(server.user(), session_id, headers, body), (headers, body)


async def test_a_session_that_changes_is_seen(server):
    client = HandshakeClient(server.user(), version="2025-06-18")
    await client.open()
    arguments = {"name": "add", "arguments": {"a": 1, "b": 2}}
    for _ in range(2):
        assert "result" in (await client.call("tools/call", arguments)).json()
    runtime = server.server.runtime
    session = await runtime.sessions.find(client.id)
    await runtime.sessions.amend(session, revision="2024-11-05")
    client.version = "2025-06-18"
    result = (await client.call("tools/call", arguments)).json()["result"]
    assert "structuredContent" not in result
