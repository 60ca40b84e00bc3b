"""What clients watch is bounded: streams of a user, URIs of a stream or session, their bytes."""

import pytest
import trio

from mcpd.app.app import App
from mcpd.mcp.streams.change_feed import MAX_URI_BYTES, MAX_URIS, MAX_URIS_BYTES
from mcpd.server.backends import sqlite_backend
from mcpd.sessions.sqlite.store import SqliteStore
from tests.in_process import META, HandshakeClient, modern_headers, serving
from tests.sessions.stores import session

MANY = [f"x://{number}" for number in range(MAX_URIS + 1)]
LONG = ["x://" + "a" * MAX_URI_BYTES]
HEAVY = [f"x://{number:03}" + "a" * 1993 for number in range(MAX_URIS_BYTES // 2000 + 1)]


def make_app() -> App:
    app = App("demo")

    @app.resource("x://{name}")
    async def named(name: str) -> str:
        """Any."""
        return name

    return app


async def listen(server, uris=(), *, user: str = "alice"):
    peer = server.user(user)
    params = {"_meta": META, "notifications": {"resourceSubscriptions": list(uris)}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
    await peer.begin("POST", "/mcp/", json=message, headers=modern_headers("subscriptions/listen"))
    return peer


@pytest.mark.parametrize("uris", [MANY, LONG, HEAVY], ids=["many", "long", "heavy"])
async def test_uris_are_bounded_in_number_and_bytes_in_both_eras(tmp_path, uris):
    async with serving(tmp_path, [make_app()]) as server:
        refused = await (await listen(server, uris)).reply()
        assert (refused.status, refused.json()["error"]["code"]) == (400, -32602)
        client = HandshakeClient(server.user())
        await client.open()
        for uri in uris[:-1]:
            done = await client.call("resources/subscribe", {"uri": uri})
            assert done.json()["result"] == {}
        over = await client.call("resources/subscribe", {"uri": uris[-1]})
        assert over.json()["error"]["code"] == -32602
        away = await client.call("resources/unsubscribe", {"uri": uris[0]})
        assert away.json()["result"] == {}


async def test_streams_of_one_user_are_bounded_and_others_have_theirs(tmp_path):
    async with serving(tmp_path, [make_app()], max_streams_per_user=3) as server:
        held = [await listen(server) for _ in range(2)]
        for peer in held:
            await peer.head()
        client = HandshakeClient(server.user())
        await client.open()
        own = server.user()
        await own.begin("GET", "/mcp/", headers=client.headers)
        await own.head()
        refused = await (await listen(server)).reply()
        assert (refused.status, refused.headers["retry-after"]) == (429, "5")
        assert "max_streams_per_user" in refused.json()["error"]["message"]
        again = await server.user().request("GET", "/mcp/", headers=client.headers)
        assert again.status == 429
        old = await server.user().request("GET", "/sse")
        assert old.status == 429
        assert (await (await listen(server, user="bob")).head()).status_code == 200
        await held[0].stream.aclose()
        with trio.fail_after(10):
            while (await (await listen(server)).head()).status_code != 200:
                await trio.sleep(0.01)


async def test_a_users_watched_bytes_are_bounded_over_all_streams(tmp_path):
    async with serving(tmp_path, [make_app()]) as server:
        heads = [await (await listen(server, HEAVY[:-1])).head() for _ in range(17)]
        statuses = [head.status_code for head in heads]
        assert statuses[0] == 200
        assert statuses[-1] == 429


async def test_one_more_topic_writes_one_row(tmp_path):
    """A client subscribes one by one: six hundred took a minute of the database."""
    store = SqliteStore(tmp_path / "s.sqlite")
    watches = sqlite_backend(store, "p", keep_running_s=1.0).watches
    one = session()
    await store.create(one, max_unbound=10)
    topics = {f"x://{number}" for number in range(500)}
    await watches.watch(one.id, frozenset(topics))
    before = store.database._connection.total_changes
    await watches.watch(one.id, frozenset({*topics, "x://new"}))
    await watches.watch(one.id, frozenset({*topics, "x://new"} - {"x://7"}))
    assert store.database._connection.total_changes - before == 2
    assert await watches.announce("x://7", b"{}") == []
    assert await watches.announce("x://new", b"{}") == [one.id]
    store.close()
