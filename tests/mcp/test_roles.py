"""Roles and scopes over the wire: what one may never use is unknown, the rest is a challenge."""

import pytest

from mcpd import App
from mcpd.access.rules import AccessRules, Role
from mcpd.app.context import Context
from tests.in_process import META, HandshakeClient, serving

RULES = AccessRules(
    roles={
        "reader": Role(tools=("get_*",), resources=("open",), prompts=("open",)),
        "writer": Role(scopes=("files:write",)),
    },
    users={"alice": ("reader",), "bob": ("writer",)},
)


def an_app():
    app = App("demo")

    @app.tool
    def get_name() -> str:
        return "name"

    @app.tool
    def set_name(name: str) -> str:
        return name

    @app.tool(scopes=["files:write"])
    def get_files() -> str:
        return "files"

    @app.tool(scopes=["files:write", "files:admin"])
    def both(ctx: Context) -> str:
        return "both"

    @app.resource("note://open", name="open")
    def open_note() -> str:
        return "open"

    @app.resource("note://secret/{name}", name="secret")
    def secret(name: str) -> str:
        return f"secret {name}"

    add_prompts(app)
    return app


def add_prompts(app):

    @app.prompt(name="open")
    def open_prompt() -> str:
        return "hello"

    @app.prompt(name="hidden")
    def hidden_prompt(word: str) -> str:
        return word

    @app.completion("hidden", "word")
    def complete(value: str, others: dict[str, str]) -> list[str]:
        return ["told"]


@pytest.fixture
async def served(tmp_path):
    async with serving(tmp_path, [an_app()], access=RULES) as server:
        yield server


def to_complete(name):
    reference = {"type": "ref/prompt", "name": name}
    return {"ref": reference, "argument": {"name": "word", "value": ""}}


async def modern(peer, method, params=None):
    params = {**(params or {}), "_meta": META}
    headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
        ("accept", "application/json, text/event-stream"),
    ]
    if name := params.get("name") or params.get("uri"):
        headers.append(("mcp-name", name))
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return await peer.request("POST", "/mcp/", json=message, headers=headers)


async def names(peer, kind):
    method = {"resourceTemplates": "resources/templates"}.get(kind, kind) + "/list"
    reply = await modern(peer, method)
    return [item["name"] for item in reply.json()["result"][kind]], reply


async def test_lists_show_what_one_could_use(served):
    alice, bob = served.user("alice"), served.user("bob")
    assert (await names(alice, "tools"))[0] == ["get_name"]
    assert (await names(bob, "tools"))[0] == ["get_name", "set_name", "get_files"]
    assert (await names(alice, "resources"))[0] == ["open"]
    assert (await names(alice, "resourceTemplates"))[0] == []
    assert (await names(bob, "resourceTemplates"))[0] == ["secret"]
    listed, reply = await names(alice, "prompts")
    assert listed == ["open"]
    assert reply.json()["result"]["cacheScope"] == "private"


async def test_lists_are_the_same_in_the_era_of_the_handshake(served):
    client = HandshakeClient(served.user("alice"))
    await client.open()
    reply = await client.call("tools/list")
    assert [tool["name"] for tool in reply.json()["result"]["tools"]] == ["get_name"]
    bare = await served.user("alice").request("GET", "/mcp/tools/list")
    assert [tool["name"] for tool in bare.json()["result"]["tools"]] == ["get_name"]


@pytest.mark.parametrize(
    ("method", "known", "unknown"),
    [
        ("tools/call", {"name": "set_name"}, {"name": "set_nome"}),
        ("tools/call", {"name": "get_files"}, {"name": "get_fils"}),
        ("prompts/get", {"name": "hidden"}, {"name": "hiddan"}),
        ("resources/read", {"uri": "note://secret/a"}, {"uri": "note://sacret/a"}),
        ("completion/complete", to_complete("hidden"), to_complete("hiddan")),
    ],
)  # fmt: skip
async def test_what_one_may_never_use_is_not_told_apart_from_what_is_not_there(
    served, method, known, unknown
):
    alice = served.user("alice")
    hidden, nothing = await modern(alice, method, known), await modern(alice, method, unknown)
    assert hidden.status == nothing.status
    one, other = (reply.body.decode() for reply in (hidden, nothing))
    for right, wrong in (("set_name", "set_nome"), ("get_files", "get_fils"),
                         ("hidden", "hiddan"), ("secret", "sacret")):  # fmt: skip
        other = other.replace(wrong, right)
    assert one == other
    assert "error" in hidden.json()


async def test_what_could_be_granted_is_a_challenge_with_all_that_it_takes(served):
    bob = served.user("bob")
    reply = await modern(bob, "tools/call", {"name": "get_files"})
    assert reply.status == 403
    challenge = reply.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="execute:mcp files:write"' in challenge
    assert "files:write" in reply.json()["error"]["message"]
    wider = served.connect(token=served.token("bob", scopes=("execute:mcp", "files:write")))
    answered = await modern(wider, "tools/call", {"name": "get_files"})
    assert answered.json()["result"]["content"][0]["text"] == "files"


async def test_a_session_gets_the_challenge_before_a_stream_begins(tmp_path):
    async with serving(tmp_path, [an_app()]) as served:
        client = HandshakeClient(served.user("carol"))
        await client.open()
        message = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "both"}}
        headers = [
            ("mcp-session-id", client.id),
            ("mcp-protocol-version", client.version),
            ("accept", "application/json, text/event-stream"),
        ]
        reply = await client.peer.request("POST", "/mcp/", json=message, headers=headers)
        assert reply.status == 403
        wanted = 'scope="execute:mcp files:write files:admin"'
        assert wanted in reply.headers["www-authenticate"]


async def test_within_a_batch_it_is_an_error_of_its_call(tmp_path):
    async with serving(tmp_path, [an_app()]) as served:
        client = HandshakeClient(served.user("carol"), "2025-03-26")
        await client.open()
        calls = [
            {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": {"name": name}}
            for n, name in enumerate(["get_name", "get_files"])
        ]
        headers = [("mcp-session-id", client.id), ("accept", "application/json")]
        reply = await client.peer.request("POST", "/mcp/", json=calls, headers=headers)
        assert reply.status == 200
        answers = {answer["id"]: answer for answer in reply.json()}
        assert answers[0]["result"]["content"][0]["text"] == "name"
        assert "files:write" in answers[1]["error"]["message"]


async def test_a_user_without_a_role_is_refused_without_a_challenge(served):
    reply = await modern(served.user("eve"), "tools/list")
    assert reply.status == 403
    assert "www-authenticate" not in reply.headers
    assert "no role" in reply.body.decode()


async def test_changed_rules_count_from_the_next_request_on(served):
    alice = served.user("alice")
    assert (await names(alice, "tools"))[0] == ["get_name"]
    credentials = served.server.credentials
    credentials.access.use(AccessRules())
    credentials.authenticator.use(credentials._kinds())
    assert (await names(alice, "tools"))[0] == ["get_name", "set_name", "get_files", "both"]
    assert (
        await modern(alice, "tools/call", {"name": "set_name", "arguments": {"name": "x"}})
    ).status == 200


async def test_no_key_has_more_than_its_owner_could_have(served):
    admin = served.connect(token=served.token("bob", scopes=("execute:mcp", "admin:mcp")))
    reply = await admin.request("POST", "/api/keys", json={"owner": "bob", "name": "k"})
    assert reply.status == 403  # bob's role has no admin:mcp, whatever the token says
