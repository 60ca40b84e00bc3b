"""/register and its kin, as REST clients and confused clients use them."""

import json
import time
import uuid
from collections import Counter

import pytest

from mcpd.app.app import App
from mcpd.events import Registered
from tests.in_process import BOTH, HandshakeClient, serving
from tests.mcp.demo_app import make_app

OAUTH = {"redirect_uris": ["http://localhost/cb"], "token_endpoint_auth_method": "none"}
CLAUDE = {
    "client_info": {"name": "Claude Desktop", "version": "1.0.0"},
    "capabilities": {"tools": True, "resources": True, "prompts": True},
}
PATHS = ["/register", "/api/register", "/mcp/register"]


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path, [make_app()]) as server:
        yield server


@pytest.mark.parametrize("path", PATHS)
async def test_the_answer_tells_everything_to_go_on(server, path):
    reply = await server.connect().request("POST", path, json=CLAUDE)
    body = reply.json()
    assert reply.status == 200
    assert uuid.UUID(body["session_id"]).version == 4
    assert reply.headers["mcp-session-id"] == reply.headers["x-session-id"] == body["session_id"]
    assert body["success"] is True
    assert body["server"]["protocol_version"] == "2025-11-25"
    assert body["server"]["protocol_versions"][0] == "2026-07-28"
    assert body["endpoints"] == {
        "mcp": "http://localhost/mcp/",
        "initialize": "http://localhost/mcp/initialize",
        "tools": "http://localhost/mcp/tools/list",
        "health": "http://localhost/health",
    }
    assert body["transport"] == "streamable-http"
    assert body["authentication"] == {
        "required": True,
        "type": "Bearer",
        "header": "Authorization",
        "format": "Bearer YOUR_JWT_TOKEN_HERE",
    }
    assert body["capabilities"] == {
        "tools": True, "resources": False, "prompts": False, "logging": True, "progress": True,
    }  # fmt: skip
    assert set(body["instructions"]) == {"next_step", "authentication", "protocol"}
    assert body["expires_at"].endswith("Z")
    assert body["expires_at"][:4] == time.strftime("%Y")


async def test_the_answer_tells_the_truth_about_this_server(tmp_path):
    async with serving(
        tmp_path, [App("empty")], auth="none", public_url="https://mcp.example.org/"
    ) as server:
        body = (await server.connect().request("POST", "/register")).json()
        assert body["authentication"]["required"] is False
        assert body["capabilities"]["tools"] is False
        assert body["endpoints"]["mcp"] == "https://mcp.example.org/mcp/"


@pytest.mark.parametrize(
    "body",
    [b"", b"  ", b"{}", b'{"client_info":{}}', b'{"clientInfo":{"name":"x"}}',
     b'{"capabilities":null,"unknown":1}', b'{"client_info":"a string"}'],
)  # fmt: skip
async def test_what_is_a_session(server, body):
    reply = await server.connect().request("POST", "/register", body=body)
    assert reply.status == 200


@pytest.mark.parametrize(
    "member",
    ["redirect_uris", "grant_types", "response_types", "token_endpoint_auth_method", "software_id",
     "application_type", "jwks", "jwks_uri", "client_uri"],
)  # fmt: skip
async def test_what_is_an_oauth_client(server, member):
    """RFC 7591, section 3.2.2"""
    body = {member: "x", **CLAUDE}
    reply = await server.connect().request("POST", "/register", json=body)
    assert reply.status == 400
    assert reply.json()["error"] == "invalid_client_metadata"
    assert "bearer token" in reply.json()["error_description"]
    assert "mcpd token create" in reply.json()["fix"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b'{"name":"x"}', b"\xff", b"[" * 5000])
async def test_anything_else_lists_both_shapes(server, body):
    reply = await server.connect().request("POST", "/register", body=body)
    assert reply.status == 400
    assert "client_info" in reply.json()["fix"]
    assert "redirect_uris" in reply.json()["fix"]


async def test_each_outcome_is_counted_apart(server):
    peer, outcomes = server.connect(), Counter()
    server.server.runtime.observer.listen(
        Registered, lambda event: outcomes.update([(event.kind, event.outcome)])
    )
    for body in ({}, {}, OAUTH, {"x": 1}):
        await peer.request("POST", "/register", json=body)
    assert outcomes == {
        ("session", "accepted"): 2,
        ("oauth", "refused"): 1,
        ("unknown", "refused"): 1,
    }


@pytest.mark.parametrize("path", PATHS)
async def test_get_says_how_it_is_done(server, path):
    reply = await server.connect().request("GET", path)
    body = reply.json()
    assert (reply.status, "POST" in reply.headers["allow"]) == (405, True)
    assert body["mcp_endpoint"] == "http://localhost/mcp/"
    assert body["client_configuration"]["headers"]["Authorization"].startswith("Bearer ")


async def test_names_are_bounded_and_clean(server):
    info = {"name": "a\x1b[31m" + "x" * 1000, "version": {"not": "text"}}
    await server.connect().request("POST", "/register", json={"client_info": info})
    listed = (await server.connect().request("GET", "/registrations")).json()
    (details,) = listed["details"]
    assert details["client_info"]["name"].startswith("a [31mxxx")
    assert len(details["client_info"]["name"]) == 128
    assert details["client_info"]["version"] == ""


async def test_a_large_body_is_413(server):
    reply = await server.connect().request("POST", "/register", body=b"x" * 70_000)
    assert reply.status == 413


async def test_registering_is_limited_for_each_address_but_loopback(server):
    stranger, statuses = server.connect(address="203.0.113.5"), []
    for _ in range(32):
        reply = await stranger.request("POST", "/register", json={})
        statuses.append(reply.status)
    assert statuses == [200] * 30 + [429] * 2
    assert int(reply.headers["retry-after"]) >= 1
    other = server.connect(address="203.0.113.6")
    assert (await other.request("POST", "/register", json={})).status == 200
    local = server.connect()
    for _ in range(35):
        assert (await local.request("POST", "/register", json={})).status == 200


async def test_unregister_ends_the_session(server):
    peer = server.connect()
    session_id = (await peer.request("POST", "/register", json={})).json()["session_id"]
    ended = await peer.request("POST", "/unregister", json={"session_id": session_id})
    assert (ended.status, ended.json()["success"]) == (200, True)
    assert (
        await peer.request("POST", "/unregister", json={"session_id": session_id})
    ).status == 404
    assert (await peer.request("POST", "/unregister", json={})).status == 400
    assert (await peer.request("POST", "/unregister", json={"session_id": 7})).status == 400
    other = (await peer.request("POST", "/register", json={})).json()["session_id"]
    by_header = await peer.request("POST", "/unregister", headers=[("x-session-id", other)])
    assert by_header.status == 200


async def test_only_the_owner_unregisters(server):
    session = HandshakeClient(server.user("alice"))
    await session.open()
    body = {"session_id": session.id}
    assert (await server.connect().request("POST", "/unregister", json=body)).status == 401
    assert (await server.user("mallory").request("POST", "/unregister", json=body)).status == 404
    assert (await server.user("alice").request("POST", "/unregister", json=body)).status == 200
    assert (await session.call("ping")).status == 404


async def test_registrations_are_listed_in_pages(server):
    peer = server.connect()
    for number in range(5):
        info = {"name": f"client {number}", "version": "1"}
        await peer.request("POST", "/register", json={"client_info": info})
    seen, path = [], "/registrations?limit=2"
    while path:
        page = (await peer.request("GET", path)).json()
        assert page["active_registrations"] == 5
        assert page["sessions"] == [d["session_id"] for d in page["details"]]
        seen += page["sessions"]
        path = page.get("next")
    assert len(set(seen)) == 5
    assert {"client_ip", "user_agent", "client_info", "registered_at", "last_activity"} <= set(
        page["details"][0]
    )
    assert (await peer.request("GET", "/registrations?limit=x")).status == 400


async def test_who_may_list_registrations(server, tmp_path):
    assert (
        await server.connect(address="203.0.113.1").request("GET", "/registrations")
    ).status == 401
    async with serving(tmp_path, [make_app()], production=True) as production:
        assert (await production.connect().request("GET", "/registrations")).status == 401
        assert (await production.user().request("GET", "/registrations")).status == 403
        token = production.token(scopes=("execute:mcp", "admin:mcp"))
        admin = production.connect(token=token)
        assert (await admin.request("GET", "/registrations")).status == 200


async def test_health_says_ok_and_where_the_endpoint_is(server):
    reply = await server.connect().request("GET", "/health")
    body = reply.json()
    assert (reply.status, body["status"], body["server"]) == (200, "ok", "demo")
    assert body["store"] == {"kind": "memory", "state": "ok"}
    assert body["auth_required"] is True
    assert body["mcp_endpoint"].endswith("/mcp/")
    head = await server.connect().request("HEAD", "/health")
    assert (head.status, head.body) == (200, b"")


async def test_method_aliases_take_messages_params_or_nothing(server):
    peer = server.user()
    params = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "x"}}
    whole = {"jsonrpc": "2.0", "id": "q", "method": "initialize", "params": params}
    first = await peer.request("POST", "/mcp/initialize", json=whole, headers=[BOTH])
    assert (first.json()["id"], first.json()["result"]["protocolVersion"]) == ("q", "2024-11-05")
    second = await peer.request("POST", "/mcp/initialize", json=params, headers=[BOTH])
    session = [("mcp-session-id", second.headers["mcp-session-id"])]
    for method, body in (("GET", None), ("POST", None), ("POST", {}), ("POST", {"cursor": None})):
        reply = await peer.request(method, "/mcp/tools/list", json=body, headers=session)
        assert reply.json()["result"]["tools"][0]["name"] == "add"
    wrong = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert (
        await peer.request("POST", "/mcp/tools/list", json=wrong, headers=session)
    ).status == 400
    assert (await server.connect().request("POST", "/mcp/initialize", json=whole)).status == 401


# --- tokens, browsers, errors ----------------------------------------------------------------


async def test_the_mcp_endpoint_wants_a_token(server):
    for path in ("/mcp", "/mcp/"):
        for method in ("POST", "GET", "DELETE"):
            reply = await server.connect().request(method, path)
            assert reply.status == 401
            assert reply.headers["www-authenticate"].startswith("Bearer ")
            assert reply.json()["error"] == "invalid_token"
    token = server.token(scopes=("other",))
    reply = await server.connect(token=token).request("POST", "/mcp/", json={})
    assert (reply.status, reply.json()["error"]) == (403, "insufficient_scope")
    assert token not in json.dumps([reply.headers, reply.body.decode()])


async def test_a_token_in_the_query_is_not_honoured(server):
    path = f"/mcp/?access_token={server.token()}"
    assert (await server.connect().request("POST", path, json={})).status == 401


PREFLIGHT = [
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "authorization, mcp-param-region"),
]


async def test_preflight_is_answered_before_authentication(server):
    reply = await server.connect().request(
        "OPTIONS", "/mcp/", headers=[("origin", "http://localhost:6274"), *PREFLIGHT]
    )
    assert reply.status == 204
    assert reply.headers["access-control-allow-origin"] == "http://localhost:6274"
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert "mcp-param-region" in reply.headers["access-control-allow-headers"]
    exposed = reply.headers["access-control-expose-headers"]
    assert {"Mcp-Session-Id", "MCP-Protocol-Version", "WWW-Authenticate"} <= set(
        exposed.split(", ")
    )


async def test_errors_can_be_read_by_an_allowed_page(server):
    reply = await server.connect().request(
        "POST", "/mcp/", json={}, headers=[("origin", "http://localhost:6274")]
    )
    assert reply.status == 401
    assert reply.headers["access-control-allow-origin"] == "http://localhost:6274"


EVIL = ("origin", "http://evil.example.com")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_a_foreign_page_is_refused_on_the_mcp_endpoint(server, method):
    reply = await server.user().request(method, "/mcp/", headers=[EVIL])
    assert reply.status == 403
    assert "--allow-origin" in reply.json()["fix"]
    assert "access-control-allow-origin" not in reply.headers


async def test_any_page_may_register_in_development_and_none_in_production(server, tmp_path):
    reply = await server.connect().request("POST", "/register", json={}, headers=[EVIL])
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "*")
    async with serving(tmp_path, [make_app()], production=True) as production:
        reply = await production.connect().request("POST", "/register", json={}, headers=[EVIL])
        assert reply.status == 403


async def test_a_foreign_host_is_421(server):
    peer = server.user()
    peer.host = "evil.example.com"
    reply = await peer.request("POST", "/mcp/", json={})
    assert reply.status == 421
    assert "--allow-host" in reply.json()["fix"]


@pytest.mark.parametrize(
    "path",
    ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp/",
     "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/", "/x%2Fy"],
)  # fmt: skip
async def test_what_is_not_here_is_a_json_404(server, path):
    reply = await server.connect().request("GET", path)
    assert reply.status == 404
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["error"] == "not_found"
    assert reply.json()["error_description"]


async def test_a_method_that_is_not_taken_is_405(server):
    reply = await server.user().request("PUT", "/mcp/", json={})
    assert (reply.status, reply.headers["allow"]) == (405, "DELETE, GET, POST, OPTIONS")


async def test_a_client_that_knows_http_and_little_else_gets_the_tools(server):
    for method in ("GET", "POST"):
        reply = await server.user().request(method, "/mcp/tools/list")
        assert reply.status == 200, reply
        assert reply.json()["result"]["tools"]
    assert (await server.connect().request("GET", "/mcp/tools/list")).status == 401
    wrong = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    json = [("content-type", "application/json")]
    reply = await server.user().request("POST", "/mcp/tools/list", body=wrong, headers=json)
    assert reply.json()["error"]["code"] == -32600
