"""A state directory that any build of mcpd ever wrote is opened, and nothing in it is lost."""

import math
import sqlite3
from contextlib import closing

import msgspec
import pytest

from mcpd.auth import api_keys
from mcpd.auth.api_keys import KeyRecord
from mcpd.auth.principals import Principal
from mcpd.auth.revocation import Credential, Revocation, Revocations
from mcpd.errors import ConfigError, StoreError
from mcpd.mcp.tasks.record import task_of
from mcpd.mcp.tasks.task import Status
from mcpd.sessions.record import SessionId, State
from mcpd.sessions.sqlite.credentials import SqliteCredentials
from mcpd.sessions.stream_ids import request_of
from mcpd.sessions.streams import SESSION_STREAM, Event, KeptCall, Page
from mcpd.telemetry.call_table import read
from mcpd.toolkits.tasks.search import Page as FoundTasks
from mcpd.toolkits.tasks.search import Wanted
from tests.sessions.sqlite.dumps import (
    KINDS,
    dumps_of,
    layout_of,
    newest,
    number_of,
    opened,
    restore,
    version_of,
)
from tests.telemetry.test_call_log import call

BEGAN = 1_700_000_000.0  # when the dumps' rows were made
FAR = 5_700_000_000.0
MINE = SessionId("11111111-1111-4111-8111-111111111111")
UNBOUND = SessionId("22222222-2222-4222-8222-222222222222")
RUNNING = "abababababab22aab16f-Nw"
FINISHED = "ababababababea9afbae-OA"
OWN_NUMBER = 1_700_000_010_000_000
CHANGED = b'{"method":"notifications/resources/updated"}'
FUTURE = 99

SESSIONS = dumps_of("sessions")
WITH_STREAMS = [dump for dump in SESSIONS if number_of(dump) >= 2]
WITH_TASKS = [dump for dump in WITH_STREAMS if "without-tasks" not in dump.stem]
stem = {"ids": lambda dump: dump.stem}


def all_dumps(kinds):
    return [pytest.param(kind, dump, id=dump.stem) for kind in kinds for dump in dumps_of(kind)]


def kept_call(stream_id: str, number: int) -> KeptCall:
    request = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"add"}}' % number
    return KeptCall(MINE, stream_id, request, "alice", "", ("read", "write"))


def progress(*numbers: int) -> list[Event]:
    return [Event(number, b'{"progress":%d}' % number) for number in numbers]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_newest_dump_is_of_todays_schema(tmp_path, kind):
    """Fails when a schema changes without a new number, or gets a number without a dump."""
    async with opened(kind, tmp_path):
        pass
    fresh = tmp_path / f"{kind}.sqlite"
    dumped = newest(kind)
    advice = "run python -m tests.sessions.sqlite.dumps"
    assert version_of(fresh) == number_of(dumped), advice
    (tmp_path / "old").mkdir()
    restored = restore(dumped, tmp_path / "old")
    assert version_of(restored) == number_of(dumped)
    assert layout_of(restored) == layout_of(fresh), f"raise the number, and {advice}"


@pytest.mark.parametrize("kind", KINDS)
def test_no_schema_number_is_left_out(kind):
    numbers = {number_of(dump) for dump in dumps_of(kind)}
    assert numbers == set(range(1, max(numbers) + 1))


@pytest.mark.parametrize(("kind", "dump"), all_dumps(KINDS))
async def test_an_old_file_becomes_like_a_new_one(tmp_path, kind, dump):
    (tmp_path / "new").mkdir()
    path = restore(dump, tmp_path)
    for folder in (tmp_path / "new", tmp_path, tmp_path):  # the old one at two starts
        async with opened(kind, folder):
            pass
    fresh = tmp_path / "new" / path.name
    assert layout_of(path) == layout_of(fresh)
    assert version_of(path) == version_of(fresh)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.fixture(params=KINDS)
def future(request, tmp_path):
    """A file with a number that no build knows yet, and its bytes."""
    path = restore(newest(request.param), tmp_path)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {FUTURE}")
    return request.param, path, path.read_bytes()


async def test_a_file_of_the_future_is_refused_and_stays_as_it_is(tmp_path, future, caplog):
    """The sentence says which schema it has. What a server can go on without it only logs."""
    kind, path, before = future
    if kind in ("sessions", "tasks"):
        with pytest.raises(ConfigError) as caught:
            async with opened(kind, tmp_path):
                pass
        told = caught.value.message
        assert caught.value.fix == "Run the newer mcpd, or move the file away."
    elif kind == "credentials":
        with pytest.raises(StoreError) as hidden:
            async with opened(kind, tmp_path):
                pass
        assert str(tmp_path) not in hidden.value.message
        told = caplog.text
    elif kind == "limits":  # a process counts by itself then, and logs this
        with pytest.raises(StoreError) as away:
            async with opened(kind, tmp_path):
                pass
        told = away.value.message
    else:
        async with opened(kind, tmp_path):
            pass
        told = caplog.text
    assert f"{path} was written by a newer mcpd (schema {FUTURE}, this one knows" in told
    assert path.read_bytes() == before


async def test_a_command_tells_the_operator_that_credentials_are_of_the_future(tmp_path):
    path = restore(newest("credentials"), tmp_path)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {FUTURE}")
    with pytest.raises(ConfigError, match="newer mcpd"):
        await SqliteCredentials(path, serves=False).version()


@pytest.fixture
async def backend(request, tmp_path):
    """The backend of a dump, as the server opens it."""
    restore(request.param, tmp_path)
    async with opened("sessions", tmp_path) as found:
        yield found


@pytest.mark.parametrize("backend", SESSIONS, indirect=True, **stem)
async def test_sessions_are_there_and_go_on(backend):
    store = backend.store
    found = await store.get(MINE, alive_since=BEGAN + 49)
    assert (found.client_name, found.client_version) == ("cursor", "1.2")
    assert (found.state, found.revision, found.log_level) == (State.READY, "2025-06-18", "info")
    assert (found.issuer, found.subject) == ("", "alice")
    assert (found.address, found.user_agent) == ("192.0.2.1", "agent/1")
    assert (found.created_at, found.last_activity) == (BEGAN, BEGAN + 50)
    assert bytes(found.capabilities) == b'{"sampling":{}}'
    assert found.subscriptions == ["file:///a", "file:///b"]
    assert await store.count_owned(found) == 1
    changed = await store.update(MINE, lambda old: msgspec.structs.replace(old, subscriptions=[]))
    assert changed == msgspec.structs.replace(found, subscriptions=[])
    bound = await store.bind(UNBOUND, "https://idp.example", "bob")
    assert (bound.client_name, bound.subject) == ("idle", "bob")
    listed = await store.list(alive_since=0.0, limit=10)
    assert [session.id for session in listed] == [MINE, UNBOUND]
    assert await store.expire(BEGAN + 1) == [UNBOUND]


@pytest.mark.parametrize("backend", WITH_STREAMS, indirect=True, **stem)
async def test_events_are_there_and_can_be_read_from_any_place(backend):
    events = backend.events
    assert await events.read(MINE, RUNNING, 0) == Page(progress(1, 2, 3), finished=False)
    assert await events.read(MINE, RUNNING, 1) == Page(progress(2, 3), finished=False)
    answered = [*progress(1), Event(2, b'{"id":8,"result":{}}')]
    assert await events.read(MINE, FINISHED, 0) == Page(answered, finished=True)
    own = Page([Event(OWN_NUMBER, CHANGED)], finished=False)
    assert await events.read(MINE, SESSION_STREAM, 0) == own
    assert await events.newest(MINE) == OWN_NUMBER
    assert await events.put(MINE, b"{}") > OWN_NUMBER
    assert request_of(MINE, RUNNING) == b"7"


@pytest.mark.parametrize("backend", WITH_STREAMS, indirect=True, **stem)
async def test_a_call_that_was_under_way_is_taken_over_and_ended(backend):
    events, ownership = backend.events, backend.ownership
    more = [b'{"progress":4}', b'{"id":7,"result":{}}']
    assert not await events.append(MINE, RUNNING, 4, more, last=True)  # its owner is another
    assert await ownership.claim(MINE, RUNNING) == kept_call(RUNNING, 7)
    assert await ownership.claim(MINE, FINISHED) is None
    assert await events.append(MINE, RUNNING, 4, more, last=True)
    whole = [*progress(1, 2, 3, 4), Event(5, more[1])]
    assert await events.read(MINE, RUNNING, 0) == Page(whole, finished=True)
    assert await events.read(MINE, RUNNING, 4) == Page(whole[4:], finished=True)


@pytest.mark.parametrize("backend", WITH_STREAMS, indirect=True, **stem)
async def test_what_is_watched_and_answered_is_there(backend):
    assert await backend.watches.announce("lists", b"{}") == [MINE]
    assert await backend.watches.announce("file:///b", b"{}") == [MINE]
    assert await backend.watches.announce("file:///c", b"{}") == []
    assert await backend.answers.find(MINE, "asked-1") == b'{"result":{"action":"accept"}}'
    assert await backend.answers.find(MINE, "asked-2") is None
    assert await backend.answers.deliver(MINE, "asked-2", b"{}")
    assert not await backend.answers.deliver(MINE, "asked-3", b"{}")


@pytest.mark.parametrize("backend", WITH_TASKS, indirect=True, **stem)
async def test_tasks_are_there(backend):
    done, working = [task_of(record) for record in await backend.tasks.of(" alice")]
    assert (done.id, done.status) == ("task-done", Status.COMPLETED)
    assert (bytes(done.result), done.created_at) == (b'{"content":[]}', BEGAN)
    assert (working.id, working.message) == ("task-working", "half way")
    assert working.owner.owns("", "alice")
    assert await backend.tasks.is_gone(working.process)
    assert task_of(await backend.tasks.get("task-done")).id == done.id


@pytest.mark.parametrize("backend", SESSIONS, indirect=True, **stem)
async def test_what_came_later_works_for_an_old_session_and_ends_with_it(backend, tmp_path):
    events = backend.events
    messages = [event.data for event in progress(1, 2)]
    await events.begin(kept_call("new", 9), messages)
    assert await events.read(MINE, "new", 1) == Page(progress(2), finished=False)
    await backend.watches.watch(MINE, frozenset({"lists"}))
    await backend.answers.expect(MINE, "new", "asked-9")
    assert await backend.tasks.put("new", " carol", b"{}", ttl_s=60.0, final=False)
    assert await backend.tasks.of(" carol") == [b"{}"]
    assert await backend.store.end(MINE)
    with closing(sqlite3.connect(tmp_path / "sessions.sqlite")) as db:
        for table in ("stream", "event", "question", "watch"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


@pytest.mark.parametrize("dump", dumps_of("credentials"), **stem)
async def test_keys_and_revocations_are_in_force(tmp_path, dump):
    restore(dump, tmp_path)
    async with opened("credentials", tmp_path) as store:
        start = f"mcpd_{'A' * 12}_{'A' * 43}"
        text = start + api_keys._check(start)
        key = await store.find_key(api_keys.id_of(text))
        assert key.is_text(text)
        assert (key.subject, key.scopes, key.addresses) == ("alice", ("read",), ("10.0.0.0/8",))
        assert (key.revoked_at, key.last_used) == (None, BEGAN + 60)
        assert [found.id for found in await store.list_keys()] == ["revoked", key.id]
        assert (await store.find_key("revoked")).revoked_at == BEGAN + 70
        withdrawn = await store.revocations(BEGAN + 100)
        assert sorted(withdrawn, key=lambda one: one.kind) == [
            Revocation("key", "revoked", expires_at=FAR),
            Revocation("subject", "carol", before=BEGAN, expires_at=math.inf),
            Revocation("token", "jti-1", expires_at=FAR),
        ]
        in_force, bob = Revocations(withdrawn), Principal("bob", "https://idp.example")
        assert in_force.covers(bob, Credential(key_id="revoked"))
        assert not in_force.covers(Principal("alice", ""), Credential(key_id=key.id))
        before = await store.version()
        assert await store.revoke_key(key.id, BEGAN + 200)
        new = KeyRecord(id="new", digest=b"x", name="n", subject="alice", created_at=BEGAN + 300)
        await store.add_key(new)
        assert await store.version() > before
        assert await store.find_key("new") == new


@pytest.mark.parametrize("dump", dumps_of("calls"), **stem)
async def test_calls_are_shown_and_further_ones_are_noted_behind_them(tmp_path, dump):
    restore(dump, tmp_path)
    async with opened("calls", tmp_path) as log:
        log.call(call(target="new"))
        await log._write()
    shown = [(number, entry.user, entry.target, entry.outcome) for number, entry in read(tmp_path)]
    assert shown == [
        (1, "alice", "add", "ok"),
        (2, "alice", "divide", "error -32602"),
        (3, "", "/mcp/", "HTTP 401"),
        (4, "alice", "new", "ok"),
    ]


@pytest.mark.parametrize("dump", dumps_of("tasks"), **stem)
async def test_the_task_lists_of_users_are_there_and_counted(tmp_path, dump):
    path = restore(dump, tmp_path)
    async with opened("tasks", tmp_path) as store:
        page = FoundTasks(0, 10)
        wanted = Wanted.of("milk", "shop")
        await store.find("alice", wanted, status="pending", priority="low", page=page)
        assert page.total == 1
        other = await store.get("alice", "two")
        assert (other.title, other.status) == ("Überweisen", "completed")
        for task_id in ("one", "two"):
            assert await store.delete("alice", task_id)
    with closing(sqlite3.connect(path)) as db:
        usage = db.execute("SELECT tasks, bytes FROM usage WHERE user = 'alice'").fetchall()
    assert usage == [(0, 0)]
