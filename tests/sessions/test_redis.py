"""What only Redis has: other processes, and times when it is away."""

import gc
import hashlib
import re
import shutil
import ssl
import subprocess

import msgspec
import pytest
import trio
from msgspec.structs import replace

from mcpd.errors import ConfigError, StoreError
from mcpd.sessions.bus import Signal, SignalKind
from mcpd.sessions.redis.address import Address
from mcpd.sessions.redis.keeper import LEASE_S
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.lua import Script
from mcpd.sessions.redis.node import ANSWER_S
from mcpd.sessions.redis.opening import open_redis
from mcpd.sessions.store import Counts
from mcpd.sessions.streams import KeptCall
from tests.redis_server import RedisServer
from tests.sessions.stores import fresh, fresh_of, opened, session
from tests.sessions.test_stores import ALWAYS


@pytest.fixture(params=["redis", "cluster", "oldest"])
async def pair(request, tmp_path):
    url = fresh_of(request)
    async with opened("redis", tmp_path, url=url) as a, opened("redis", tmp_path, url=url) as b:
        yield a, b


async def seen(found: list, count: int = 1) -> None:
    with trio.fail_after(30):
        while len(found) < count:
            await trio.sleep(0.005)


async def test_a_change_in_one_process_is_seen_in_the_other(pair):
    a, b = pair
    one = session(subject="alice", issuer="")
    await a.store.create(one, max_unbound=10)
    assert await b.store.get(one.id, alive_since=ALWAYS) == one
    changed = []
    b.bus.listen(SignalKind.CHANGED, changed.append)
    await a.store.update(one.id, lambda now: replace(now, log_level="error"))
    await seen(changed)
    assert (await b.store.get(one.id, alive_since=ALWAYS)).log_level == "error"
    ended = []
    b.bus.listen(SignalKind.ENDED, ended.append)
    await a.store.end(one.id)
    a.bus.publish(Signal(SignalKind.ENDED, one.id))
    await seen(ended)
    assert await b.store.get(one.id, alive_since=ALWAYS) is None


async def test_the_same_record_changed_by_both_keeps_both_changes(pair):
    a, b = pair
    one = session(subject="alice", issuer="")
    await a.store.create(one, max_unbound=10)

    async def subscribe(store, uri):
        def add(now):
            return replace(now, subscriptions=[*now.subscriptions, uri])

        await store.update(one.id, add)

    told = [[], []]
    for backend, signals in zip(pair, told, strict=True):
        backend.bus.listen(SignalKind.CHANGED, signals.append)
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(subscribe, a.store, f"a{number}")
            nursery.start_soon(subscribe, b.store, f"b{number}")
    for backend, signals in zip(pair, told, strict=True):
        await seen(signals, 10)  # each hears what the other did, and has nothing older than that
        found = await backend.store.get(one.id, alive_since=ALWAYS)
        assert len(found.subscriptions) == 20


async def test_a_record_that_changed_on_its_way_is_not_used_again(pair, monkeypatch):
    a, b = pair
    one = session(subject="alice", issuer="")
    await b.store.create(one, max_unbound=10)
    changed = []
    a.bus.listen(SignalKind.CHANGED, changed.append)
    real = RedisLink.pipeline

    async def overtaken(link, *commands, durable=False):
        found = await real(link, *commands, durable=durable)
        if link is a.store._redis and not changed:
            await b.store.update(one.id, lambda now: replace(now, log_level="error"))
            await seen(changed)
        return found

    monkeypatch.setattr(RedisLink, "pipeline", overtaken)
    await a.store.get(one.id, alive_since=ALWAYS)  # as it was when it was asked for
    assert (await a.store.get(one.id, alive_since=ALWAYS)).log_level == "error"


async def test_our_own_signals_do_not_come_back(pair):
    a, b = pair
    mine, theirs = [], []
    a.bus.listen(SignalKind.GREW, mine.append)
    b.bus.listen(SignalKind.GREW, theirs.append)
    a.bus.publish(Signal(SignalKind.GREW, "s", "stream"))
    await seen(theirs)
    assert theirs == [Signal(SignalKind.GREW, "s", "stream")]
    assert mine == []


async def test_a_call_is_claimed_only_when_its_process_is_gone(redis, tmp_path):
    url = fresh(redis)
    one = session(subject="alice", issuer="")
    kept = KeptCall(one.id, "c", b"{}", "alice")
    async with opened("redis", tmp_path, url=url) as b:
        async with opened("redis", tmp_path, url=url) as a:
            await a.store.create(one, max_unbound=10)
            await a.events.begin(kept)
            await a.events.append(one.id, "c", 1, [b"x"], last=False)
            assert await b.ownership.claim(one.id, "c") is None
            assert not await b.events.append(one.id, "c", 2, [b"y"], last=False)
        with trio.fail_after(30):
            while (found := await b.ownership.claim(one.id, "c")) is None:
                await trio.sleep(0.05)
        assert found == kept
        assert await b.events.append(one.id, "c", 2, [b"y"], last=True)


async def test_a_process_that_leaves_gives_its_calls_away_at_once(pair):
    a, b = pair
    one = session(subject="alice", issuer="")
    await a.store.create(one, max_unbound=10)
    await a.events.begin(KeptCall(one.id, "c", b"{}", "alice"))
    await a.ownership.disown_all()
    assert await b.ownership.claim(one.id, "c") is not None
    assert not await a.events.append(one.id, "c", 1, [b"late"], last=True)


async def test_a_process_that_gives_a_call_up_leaves_it_to_the_others(pair):
    a, b = pair
    one = session(subject="alice", issuer="")
    await a.store.create(one, max_unbound=10)
    for stream_id, last in (("c", False), ("done", True)):
        await a.events.begin(KeptCall(one.id, stream_id, b"{}", "alice"))
        await a.events.append(one.id, stream_id, 1, [b"x"], last=last)
        await a.ownership.disown(one.id, stream_id)
        assert (await b.ownership.claim(one.id, stream_id) is not None) is not last
    await a.ownership.disown(one.id, "c")  # it is b's now
    assert await b.events.append(one.id, "c", 2, [b"y"], last=True)


async def test_one_follower_is_served_over_all_processes(redis, tmp_path):
    url = fresh(redis)
    one = session(subject="alice", issuer="")
    async with opened("redis", tmp_path, url=url) as a:
        await a.store.create(one, max_unbound=10)
        told = []
        a.bus.listen(SignalKind.READ_ELSEWHERE, told.append)
        a.bus.listen(SignalKind.READER_LEFT, told.append)
        async with opened("redis", tmp_path, url=url) as b:
            assert await a.lease.acquire(one.id, "session", "a1", force=True) == 0
            assert await b.lease.acquire(one.id, "session", "b1", force=False) is None
            assert await b.lease.acquire(one.id, "session", "b1", force=True) == 0
            assert await a.lease.acquire(one.id, "session", "a1", force=False) is None
            await a.lease.release(one.id, "session", "a1", 3)  # it was not served
            await b.lease.release(one.id, "session", "b1", 7)
            await seen(told, 2)
            assert [signal.kind for signal in told] == [
                SignalKind.READ_ELSEWHERE,
                SignalKind.READER_LEFT,
            ]
            assert await a.lease.acquire(one.id, "session", "a1", force=False) == 7
            assert await b.lease.acquire(one.id, "session", "b1", force=True) == 7
        with trio.fail_after(30):  # until the end of the other's connection is seen
            while await a.lease.acquire(one.id, "session", "a1", force=False) is None:
                await trio.sleep(0.05)


async def test_the_end_of_a_task_stays(pair):
    a, b = pair
    await a.tasks.put("t", "alice", b"working", ttl_s=60, final=False)
    assert await b.tasks.put("t", "alice", b"failed", ttl_s=60, final=True)
    assert not await a.tasks.put("t", "alice", b"working", ttl_s=60, final=False)
    assert not await a.tasks.put("t", "alice", b"completed", ttl_s=60, final=True)
    assert await b.tasks.put("t", "alice", b"failed", ttl_s=60, final=True)
    assert await a.tasks.get("t") == b"failed"
    assert await a.tasks.of("alice") == [b"failed"]


async def test_commands_stay_until_what_they_say_is_done(pair):
    a, b = pair
    await b.tasks.send_command("t", b"1")
    assert await a.tasks.commands("t") == [b"1"]
    await b.tasks.send_command("t", b"2")
    await a.tasks.drop_commands("t", 1)
    assert await a.tasks.commands("t") == [b"2"]


async def test_keys_expire_by_themselves(redis, tmp_path):
    url = fresh(redis)
    one = session(subject="alice", issuer="")
    async with opened("redis", tmp_path, url=url) as backend:
        await backend.store.create(one, max_unbound=10)
        await backend.events.begin(KeptCall(one.id, "c", b"{}", "alice"))
        await backend.events.append(one.id, "c", 1, [b"x"], last=False)
        await backend.events.put(one.id, b"x")
        await backend.answers.expect(one.id, "c", "ask-c-0-1")
        link, keys = backend.events._redis, backend.events._redis.keys
        for key in (keys.record(one.id), *keys.stream(one.id, "c"), keys.unfinished(one.id),
                    *keys.stream(one.id), keys.questions(one.id, "c")):  # fmt: skip
            assert 0 < await link.call("TTL", key) <= 3660, key


async def test_a_session_leaves_nothing_behind(redis, tmp_path):
    url = fresh(redis)
    one = session(subject="alice", issuer="")
    async with opened("redis", tmp_path, url=url) as backend:
        await backend.store.create(one, max_unbound=10)
        await backend.events.begin(KeptCall(one.id, "c", b"{}", "alice"))
        await backend.events.append(one.id, "c", 1, [b"x"], last=False)
        await backend.events.put(one.id, b"x")
        await backend.watches.watch(one.id, frozenset({"lists", "note://a"}))
        await backend.store.end(one.id)
        link = backend.events._redis
        left = await link.call("KEYS", f"{link.keys.prefix}:*")
        stays = (link.keys.layout.encode(), link.keys.process(backend.process).encode())
        assert [key for key in left if not key.startswith(stays)] == []


# --- what spans sessions ---------------------------------------------------------------------


async def test_an_index_that_is_wrong_is_repaired(pair):
    a, b = pair
    ghost, bound = session(), session(1, subject="alice", issuer="")
    for one in (ghost, bound):
        await a.store.create(one, max_unbound=10)
    link, keys = a.store._redis, a.store._redis.keys
    activity, by_id, unbound = keys.index
    await link.call("DEL", keys.record(ghost.id))  # as when its key expired before a sweep
    await link.call("ZADD", unbound, 1, bound.id)  # as when a process ended between two steps
    assert await a.store.count() == Counts(2, 2)
    assert await b.store.expire(0.0) == []
    with trio.fail_after(30):  # it is not waited for
        while await a.store.count() != Counts(1, 0):
            await trio.sleep(0.01)
    await link.pipeline(("ZREM", activity, bound.id), ("ZREM", by_id, bound.id))
    assert await b.store.list(alive_since=ALWAYS, limit=10) == []
    b.store.touch(bound.id, 500.0)
    assert [one.id for one in await b.store.list(alive_since=ALWAYS, limit=10)] == [bound.id]


async def test_a_session_that_the_index_has_for_idle_is_looked_at_again(pair):
    a, b = pair
    one = session(subject="alice", issuer="")
    await a.store.create(one, max_unbound=10)
    a.store.touch(one.id, 900.0)
    await a.store.flush()
    link, (activity, *_) = a.store._redis, a.store._redis.keys.index
    await link.call("ZADD", activity, 1, one.id)  # an older write that came later
    assert await b.store.expire(500.0) == []
    assert await b.store.get(one.id, alive_since=ALWAYS) is not None
    assert await b.store.expire(900.0) == [one.id]


async def test_a_session_with_a_principal_is_not_dropped_for_one_without(pair):
    a, b = pair
    bound, first = session(1, subject="alice", issuer=""), session(2)
    for one in (bound, first):
        await a.store.create(one, max_unbound=10)
    link, (*_, unbound) = a.store._redis, a.store._redis.keys.index
    await link.call("ZADD", unbound, 1, bound.id)
    assert await b.store.create(session(3), max_unbound=1) == [first.id]
    assert await b.store.get(bound.id, alive_since=ALWAYS) is not None


async def test_watching_is_what_the_session_says(pair):
    a, b = pair
    one, over = (session(subject="alice", issuer="") for _ in range(2))
    for watching in (one, over):
        await a.store.create(watching, max_unbound=10)
        await a.watches.watch(watching.id, frozenset({"note://a"}))
    link, keys = a.store._redis, a.store._redis.keys
    await link.call("DEL", keys.record(over.id))
    await link.call("DEL", keys.topics(one.id))  # it stopped, and the index was not told
    assert await b.watches.announce("note://a", b"x") == []
    (left,) = [key for key in await _all_keys(link) if key.startswith(keys.watchers(""))] or [""]
    assert left == ""
    async with trio.open_nursery() as nursery:  # changes at the same time leave it watching or not
        for backend, topics in ((a, {"note://a"}), (b, set()), (a, {"note://a", "note://b"})):
            nursery.start_soon(backend.watches.watch, one.id, frozenset(topics))
    topics = await link.call("SMEMBERS", keys.topics(one.id))
    reached = [uri for uri in ("note://a", "note://b") if await b.watches.announce(uri, b"x")]
    assert len(reached) == len(topics)


async def _all_keys(link) -> list[str]:
    found = await link.everywhere("KEYS", f"{link.keys.prefix}:*")
    return [key.decode() for keys in found for key in keys]


def test_no_script_names_a_key_by_itself():
    """A cluster wants all of them as KEYS."""
    scripts = [one for one in gc.get_objects() if isinstance(one, Script)]
    assert len(scripts) > 15
    for script in scripts:
        assert not re.search(r"\.\. *'[^']*:|':[a-z]+:", script.text), script.text


# --- the layout before -----------------------------------------------------------------------


async def test_sessions_and_tasks_of_the_layout_before_move_over(redis, tmp_path):
    url = fresh(redis)
    p = url.rpartition("=")[2]
    one = session(subject="alice", issuer="i")
    two = session(1, client_name="c")
    topic = hashlib.sha256(b"note://a").hexdigest()[:32]
    for each in (one, two):
        record = msgspec.json.encode(each).decode()
        redis.cli("SET", f"{p}:s:{each.id}", record, "EX", "600")
        redis.cli("ZADD", f"{p}:activity", "700.5", each.id)
        redis.cli("ZADD", f"{p}:ids", "0", each.id)
    redis.cli("ZADD", f"{p}:activity", "1", "expired-meanwhile")
    redis.cli("ZADD", f"{p}:unbound", "101", two.id)
    redis.cli("SADD", f"{p}:t:{one.id}", topic)
    redis.cli("SADD", f"{p}:w:{topic}", one.id)
    redis.cli("SET", f"{p}:k:task1", "1done", "EX", "600")
    owner = hashlib.sha256(b"alice").hexdigest()[:32]
    redis.cli("ZADD", f"{p}:o:{owner}", "1", "task1")
    async with opened("redis", tmp_path, url=url) as a, opened("redis", tmp_path, url=url) as b:
        for backend in (a, b):
            found = await backend.store.get(one.id, alive_since=ALWAYS)
            assert found == replace(one, last_activity=700.5)
        assert await a.store.count() == Counts(2, 1)
        assert await a.store.get(two.id, alive_since=700.5) is None
        assert await b.watches.announce("note://a", b"x") == [one.id]
        assert await b.tasks.of("alice") == [b"done"]
        assert await a.store.end(one.id)
        assert await a.store.end(two.id)
    left = set(redis.cli("KEYS", f"{p}:*").split())
    assert {key for key in left if not key.startswith(f"{p}:p:")} == {
        f"{p}:layout", f"{p}:k:{{task1}}", f"{p}:o:{owner}",
    }  # fmt: skip


# --- times when it is away -------------------------------------------------------------------


async def test_while_redis_is_away_everything_fails_at_once_and_then_goes_on(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        one = session(subject="alice", issuer="")
        async with opened("redis", tmp_path, url=server.url) as backend:
            await backend.store.create(one, max_unbound=10)
            resyncs = []
            backend.bus.on_resync.append(lambda: resyncs.append(1))
            server.kill()
            await trio.sleep(0.1)
            for _ in range(3):
                with trio.fail_after(0.5), pytest.raises(StoreError) as caught:
                    await backend.store.get(one.id, alive_since=ALWAYS)
                assert (b"retry-after", b"2") in caught.value.headers
            backend.store.touch(one.id, 5e9)
            backend.bus.publish(Signal(SignalKind.GREW))  # dropped, not raised
            await trio.to_thread.run_sync(server.start)
            await seen(resyncs)
            found = await backend.store.get(one.id, alive_since=ALWAYS)
            assert (found.id, found.last_activity) == (one.id, 5e9)
            await backend.store.flush()
            (listed,) = await backend.store.list(alive_since=4e9, limit=10)
            assert listed.last_activity == 5e9


async def test_a_redis_that_hangs_is_given_up_within_its_bound(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        async with opened("redis", tmp_path, url=server.url) as backend:
            server.process.send_signal(19)  # SIGSTOP
            with trio.fail_after(ANSWER_S + 1), pytest.raises(StoreError):
                await backend.store.count()
            with trio.fail_after(0.5), pytest.raises(StoreError):
                await backend.store.count()
            server.process.send_signal(18)  # SIGCONT
            with trio.fail_after(30):
                while not backend.events._redis.is_up:
                    await trio.sleep(0.05)
            assert (await backend.store.count()).total == 0


async def test_a_server_starts_while_redis_is_away(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        server.kill()
        async with opened("redis", tmp_path, url=server.url) as backend:
            with pytest.raises(StoreError):
                await backend.store.count()
            await trio.to_thread.run_sync(server.start)
            with trio.fail_after(30):
                while not backend.events._redis.is_up:
                    await trio.sleep(0.05)


async def test_nobody_is_taken_for_gone_while_an_outage_ends(tmp_path):
    """Redis is back, and a process that was started meanwhile is connected before the old one:
    its signs of life are missing, and prove nothing yet.
    """
    one = session(subject="alice", issuer="")
    with RedisServer(tmp_path / "redis") as server:
        async with opened("redis", tmp_path, url=server.url) as old:
            await old.store.create(one, max_unbound=10)
            await old.events.begin(KeptCall(one.id, "c", b"{}", "alice"))
        server.kill()
        async with opened("redis", tmp_path, url=server.url) as new:
            await trio.sleep(0.1)
            await trio.to_thread.run_sync(server.start)
            with trio.fail_after(30):
                while not new.events._redis.is_up:
                    await trio.sleep(0.02)
            await new.events._redis.call("DEL", f"mcpd:p:{old.process}")
            assert await new.ownership.claim(one.id, "c") is None
            assert not await new.tasks.is_gone(old.process)
            with trio.fail_after(2 * LEASE_S):
                while await new.ownership.claim(one.id, "c") is None:
                    await trio.sleep(0.1)
            assert await new.tasks.is_gone(old.process)


async def test_what_ended_while_signals_were_lost_is_noticed(pair):
    a, b = pair
    kept, lost = (session(subject="alice", issuer="") for _ in range(2))
    for one in (kept, lost):
        await a.store.create(one, max_unbound=10)
    assert list(await b.store.refresh([kept.id, lost.id])) == []
    await a.store.end(lost.id)
    b.bus.resync()
    assert await b.store.refresh([kept.id, lost.id]) == [lost.id]
    assert list(await b.store.refresh([kept.id, lost.id])) == []


async def test_scripts_are_sent_again_to_a_redis_that_forgot_them(redis, tmp_path):
    async with opened("redis", tmp_path, url=fresh(redis)) as backend:
        await backend.events._redis.call("SCRIPT", "FLUSH")
        one = session(subject="alice", issuer="")
        await backend.store.create(one, max_unbound=10)
        assert await backend.store.get(one.id, alive_since=ALWAYS) == one


# --- who may, and over what ------------------------------------------------------------------


async def test_a_wrong_password_stops_the_start_and_is_never_shown(tmp_path):
    with RedisServer(tmp_path / "redis", "--requirepass", "correct-horse") as server:
        good = server.url.replace("//", "//:correct-horse@")
        async with opened("redis", tmp_path, url=good) as backend:
            assert (await backend.store.count()).total == 0
        bad = server.url.replace("//", "//default:wrong-horse@")
        backend = open_redis(bad, "p", timeout_s=60, keep_running_s=60)
        with pytest.raises(BaseExceptionGroup) as caught:
            async with trio.open_nursery() as nursery:
                await backend.start(nursery)
        (error,) = caught.value.exceptions
        assert isinstance(error, ConfigError)
        assert "refuses" in error.message
        assert "horse" not in f"{error.message} {error.fix} {Address.parse(bad)!r}"


async def test_a_user_of_the_acl_who_may_use_our_keys_alone(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        async with opened("redis", tmp_path, url=server.url) as backend:
            rules = ("on", ">secret", "~team:*", "&team:*", "+@all")
            await backend.events._redis.call("ACL", "SETUSER", "mcpd", *rules)
        url = server.url.replace("//", "//mcpd:secret@")
        async with opened("redis", tmp_path, url=f"{url}?prefix=team") as backend:
            one = session(subject="alice", issuer="")
            await backend.store.create(one, max_unbound=10)
            assert await backend.store.get(one.id, alive_since=ALWAYS) == one


async def test_redis_is_reached_over_tls(tmp_path):
    openssl = shutil.which("openssl")
    assert openssl
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls_port = "0"
    with RedisServer(tmp_path / "redis") as plain:
        plain.kill()
        tls_port = str(plain.port)
        flags = ("--tls-port", tls_port, "--port", "0", "--tls-cert-file",
                 str(tmp_path / "cert.pem"), "--tls-key-file", str(tmp_path / "key.pem"),
                 "--tls-auth-clients", "no")  # fmt: skip
        plain.flags = flags
        plain.start()
        ca = tmp_path / "cert.pem"
        url = f"rediss://localhost:{tls_port}/0?ssl_ca_certs={ca}"
        async with opened("redis", tmp_path, url=url) as backend:
            assert (await backend.store.count()).total == 0
        assert ssl.OPENSSL_VERSION  # the system's own does it


@pytest.mark.parametrize(
    "url",
    ["redis://h:port/0", "redis://h:1/x", "redis://[::1/0", "redis://", "redis://:1/0", "unix://"],
)
def test_a_url_that_cannot_be_one(url):
    with pytest.raises(ConfigError):
        Address.parse(url)
