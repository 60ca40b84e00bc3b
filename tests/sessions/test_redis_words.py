"""What is said when Redis is not as it should be: each case in words of its own, with what to do.

A person must change something: ConfigError, at the start. It may pass by itself: the server starts,
and requests are answered 503 (Unavailable).
"""

import logging
import re
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from mcpd.errors import ConfigError, StoreError
from mcpd.sessions.redis import inspection
from mcpd.sessions.redis.address import Address, Kind, Place
from mcpd.sessions.redis.complaints import Complaints
from mcpd.sessions.redis.failures import MIN_VERSION, of_text
from mcpd.sessions.redis.opening import open_redis
from mcpd.sessions.streams import KeptCall
from tests.redis_server import RedisServer
from tests.sessions.stores import fresh, opened, session
from tests.sessions.test_stores import ALWAYS

SECRET = "correct-horse"


async def refusal(url: str) -> ConfigError:
    """What keeps a server from starting."""
    backend = open_redis(url, "p", timeout_s=60, keep_running_s=60)
    refused: list[BaseException] = []
    try:
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(30):
                await backend.start(nursery)
            nursery.cancel_scope.cancel()
    except* ConfigError as group:
        refused += group.exceptions
    (error,) = refused
    assert isinstance(error, ConfigError)
    assert SECRET not in f"{error.message} {error.fix}"
    return error


async def reason(url: str) -> str:
    """Why a server that started cannot use its store, as /health and clients have it."""
    backend = open_redis(url, "p", timeout_s=60, keep_running_s=60)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(30):
            await backend.start(nursery)
        with pytest.raises(StoreError) as caught:
            await backend.store.count()
        assert backend.store.trouble
        assert backend.store.trouble.lower() in caught.value.message.lower()
        nursery.cancel_scope.cancel()
    return backend.store.trouble


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    openssl = shutil.which("openssl")
    assert openssl
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def tls_port(tmp_path_factory, certificate):
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        server.kill()
        server.flags = (
            "--tls-port", str(server.port), "--port", "0", "--tls-auth-clients", "no",
            "--tls-cert-file", str(certificate / "cert.pem"),
            "--tls-key-file", str(certificate / "key.pem"),
        )  # fmt: skip
        server.start()
        yield server.port


# --- a person must change something ----------------------------------------------------------


async def test_a_certificate_of_an_unknown_ca(tls_port):
    error = await refusal(f"rediss://localhost:{tls_port}/0")
    assert "certificate of Redis is not accepted (self-signed certificate" in error.message
    assert "ssl_ca_certs" in error.fix


async def test_a_certificate_for_another_name(tls_port, certificate):
    ca = f"ssl_ca_certs={certificate / 'cert.pem'}"
    error = await refusal(f"rediss://127.0.0.1:{tls_port}/0?{ca}")
    assert "certificate" in error.message
    assert "127.0.0.1" in error.message
    unchecked = f"rediss://127.0.0.1:{tls_port}/0?{ca}&ssl_check_hostname=false"
    backend = open_redis(unchecked, "p", timeout_s=60, keep_running_s=60)
    async with trio.open_nursery() as nursery:
        await backend.start(nursery)
        assert (await backend.store.count()).total == 0
        nursery.cancel_scope.cancel()


async def test_tls_to_a_port_without(redis, monkeypatch):
    monkeypatch.setattr("mcpd.sessions.redis.node.CONNECT_S", 0.3)  # it waits for the rest
    error = await refusal(f"rediss://localhost:{redis.port}/0")
    assert "speaks no TLS on that port" in error.message
    assert "redis://" in error.fix


async def test_no_tls_to_a_port_with(tls_port):
    error = await refusal(f"redis://localhost:{tls_port}/0")
    assert "speaks TLS on that port" in error.message
    assert "rediss://" in error.fix


@contextmanager
def listening(says: bytes):
    """A server of something else, which speaks at once or when it is spoken to."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(says)
                    connection.settimeout(0.2)
                    try:
                        connection.recv(1000)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize(
    "says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b"\x4a\x00\x00\x00\x0a8.0"]
)
async def test_something_that_is_no_redis(says):
    with listening(says) as port:
        error = await refusal(f"redis://127.0.0.1:{port}/0")
    assert "no Redis" in error.message
    assert "host and the port" in error.fix


async def test_a_password_that_is_missing_or_wrong(tmp_path):
    with RedisServer(tmp_path / "redis", "--requirepass", SECRET) as server:
        missing = await refusal(server.url)
        assert "wants a password, and the URL has none" in missing.message
        wrong = await refusal(server.url.replace("//", f"//default:{SECRET}x@"))
        assert "refuses the user or the password" in wrong.message


async def test_a_database_that_is_not_there(redis):
    error = await refusal(f"redis://127.0.0.1:{redis.port}/99")
    assert "database with the number in the URL" in error.message


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (("~team:*", "&team:*", "+@all", "-xadd", "-hset"), "HSET, XADD"),
        (("~team:*", "&team:*", "+@all", "-evalsha", "-eval"), "EVAL"),
        (("~team:*", "&team:*", "+@all", "-subscribe"), "SUBSCRIBE"),
        (("~team:*", "resetchannels", "+@all"), "its channels"),
        (("~other:*", "&team:*", "+@all"), "the keys"),
    ],
)
async def test_an_acl_that_is_too_narrow(redis, rules, named):
    redis.cli("ACL", "SETUSER", "narrow", "reset", "on", f">{SECRET}", *rules)
    error = await refusal(f"redis://narrow:{SECRET}@127.0.0.1:{redis.port}/0?prefix=team")
    assert "does not allow the user of the URL" in error.message
    assert named in error.message
    assert "~PREFIX:*" in error.fix


def test_every_command_that_is_sent_is_asked_for():
    """What is not in a script on a key is tried by the connection itself, or is no reason to stop:
    INFO is for a warning, SCAN and COPY are for a move that is made once.
    """
    others = {"HELLO", "PING", "SUBSCRIBE", "PUBSUB", "WAIT", "ROLE", "EVAL", "EVALSHA", "ASKING",
              "SENTINEL", "CLUSTER", "INFO", "SCAN", "COPY"}  # fmt: skip
    folder = Path(inspection.__file__).parent
    sent = set()
    for file in folder.glob("*.py"):
        text = file.read_text()
        sent |= set(re.findall(r"""redis\.p?call\('([A-Z]+)'""", text))
        sent |= set(re.findall(r"""\(\s*"([A-Z]{2,})",""", text))
    assert {"GET", "XADD", "ZADD"} <= sent
    assert {name.lower() for name in sent - others} - set(inspection._COMMANDS) == set()


@pytest.mark.parametrize(("kind", "more"), [("redis", ()), ("redis_cluster", ("+role",))])
async def test_a_narrow_acl_that_will_do(request, kind, more):
    """As docs/SCALING.md has it. Who may not ask for the policy is not warned of it."""
    server = request.getfixturevalue(kind)
    for node in getattr(server, "nodes", [server]):
        node.cli("ACL", "SETUSER", "careful", "reset", "on", f">{SECRET}", "~team:*", "&team:*",
                 "+@all", "-@admin", "-@dangerous", *more)  # fmt: skip
    url = server.url.replace("//", f"//careful:{SECRET}@") + "?prefix=team"
    one = session(subject="alice", issuer="")
    async with opened("redis", None, url=url) as backend:
        await backend.store.create(one, max_unbound=10)
        await backend.events.begin(KeptCall(one.id, "c", b"{}", "alice"))
        assert await backend.events.append(one.id, "c", 1, [b"x"], last=True)
        await backend.watches.watch(one.id, frozenset({"note://a"}))
        assert await backend.watches.announce("note://a", b"x") == [one.id]
        assert await backend.store.get(one.id, alive_since=ALWAYS) == one
        assert not await backend.tasks.is_gone(backend.process)
        assert await backend.store.end(one.id)


async def test_a_cluster_a_sentinel_and_one_server_are_told_apart(redis, redis_cluster):
    port = redis_cluster.nodes[0].port
    node = await refusal(f"redis://127.0.0.1:{port}/0")
    assert "node of a cluster" in node.message
    assert "redis+cluster://" in node.fix
    single = await refusal(f"redis+cluster://127.0.0.1:{redis.port}/")
    assert "not part of a cluster" in single.message
    no_sentinel = await refusal(f"redis+sentinel://127.0.0.1:{redis.port}/x")
    assert "Sentinel" in no_sentinel.message


async def test_a_version_that_is_too_old(redis_6, monkeypatch):
    least = (MIN_VERSION[0], MIN_VERSION[1] + 1)
    monkeypatch.setattr("mcpd.sessions.redis.inspection.MIN_VERSION", least)
    error = await refusal(redis_6.url)
    assert "6.2.5, and 6.3 is the oldest that will do" in error.message
    assert "Valkey" in error.fix


# --- it may pass by itself -------------------------------------------------------------------


async def test_a_port_where_nothing_listens(unused_port):
    assert "nothing listens there" in await reason(f"redis://127.0.0.1:{unused_port}/0")


async def test_a_socket_that_is_not_there(tmp_path):
    assert "no such socket" in await reason(f"unix://{tmp_path}/redis.sock")


async def test_a_host_without_an_address():
    assert "name of its host is not known" in await reason("redis://no-such-host.invalid:1/0")


async def test_a_replica(redis, tmp_path):
    with RedisServer(tmp_path / "replica", "--replicaof", f"127.0.0.1 {redis.port}") as replica:
        assert "read-only replica" in await reason(replica.url)


async def test_sentinels_and_nodes_that_are_away(unused_port):
    for scheme in ("redis+sentinel", "redis+cluster"):
        told = await reason(f"{scheme}://127.0.0.1:{unused_port}/")
        assert "nothing listens there" in told


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("LOADING Redis is loading the dataset in memory", "loading"),
        ("MISCONF Redis is configured to save RDB snapshots, but", "disk"),
        ("MISCONF Errors writing to the AOF file: No space left on device", "disk"),
        ("NOREPLICAS Not enough good replicas to write.", "too few replicas"),
        ("max number of clients reached", "too many clients"),
        ("MASTERDOWN Link with MASTER is down", "read-only"),
        ("CLUSTERDOWN The cluster is down", "half a cluster"),
        ("DENIED Redis is running in protected mode because", "protected mode"),
        ("BUSY Redis is busy running a script.", "busy"),
        ("unknown command 'HELLO', with args beginning with: '3'", "version"),
        # as 6.2 passes it on from a script
        ("Error running script (call to f_1): @user_script:3: -OOM command not", "out of memory"),
    ],
)
def test_what_redis_says_itself(said, kind):
    found = of_text(said)
    assert found is not None
    assert found.kind == kind
    assert found.fix


# --- a Redis that is full --------------------------------------------------------------------


@contextmanager
def full(server: RedisServer):
    server.cli("CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        server.cli("CONFIG", "SET", "maxmemory", "0")


@pytest.fixture(params=["redis", "redis_6", "valkey"])
def each(request):
    return request.getfixturevalue(request.param)


async def test_a_redis_without_memory_says_so_and_only_the_owner_is_told(each, tmp_path):
    one = session(subject="alice", issuer="")
    url = fresh(each)
    async with (
        opened("redis", tmp_path, url=url) as backend,
        opened("redis", tmp_path, url=url) as other,
    ):
        await backend.store.create(one, max_unbound=10)
        await backend.events.begin(KeptCall(one.id, "c", b"{}", "alice"))
        with full(each):
            with pytest.raises(StoreError) as caught:
                await backend.store.create(session(), max_unbound=10)
            assert caught.value.lasting
            assert await backend.store.check() == "full"
            assert "Redis is out of memory" in caught.value.message
            assert "out of memory" in backend.store.trouble
            with pytest.raises(StoreError, match="takes no writes"):
                await backend.events.append(one.id, "c", 1, [b"x"], last=False)
            # who does not own the stream hears just that: it must not answer the call
            assert not await other.events.append(one.id, "c", 1, [b"x"], last=False)
            assert await backend.store.get(one.id, alive_since=ALWAYS) == one
            assert await backend.store.end(one.id)  # what makes room is done
        await backend.store.create(session(), max_unbound=10)
        assert not backend.store.trouble


async def test_the_owner_of_a_call_lives_on_while_redis_is_full(tmp_path):
    one = session(subject="alice", issuer="")
    with RedisServer(tmp_path / "redis") as server:
        async with (
            opened("redis", tmp_path, url=server.url) as backend,
            opened("redis", tmp_path, url=server.url) as other,
        ):
            await backend.store.create(one, max_unbound=10)
            await backend.events.begin(KeptCall(one.id, "c", b"{}", "alice"))
            key = backend.store._redis.keys.process(backend.process)
            with full(server):
                before = int(server.cli("PTTL", key))
                with trio.fail_after(30):  # it is renewed, which a SET alone could not do
                    while (now := int(server.cli("PTTL", key))) <= before:
                        before = now
                        await trio.sleep(0.2)
                assert await other.ownership.claim(one.id, "c") is None


async def test_what_repeats_is_logged_once_with_a_count(redis, tmp_path, caplog, autojump_clock):
    complaints = Complaints(logging.getLogger("mcpd.redis"))
    for _ in range(5):
        complaints.say("kind", "it happened")
    complaints.say("other", "this too")
    await trio.sleep(61)
    complaints.say("kind", "it happened")
    assert [record.getMessage() for record in caplog.records] == [
        "it happened",
        "this too",
        "it happened (4 more like this since the last line)",
    ]


async def test_a_full_redis_does_not_fill_the_log(redis, tmp_path, caplog):
    async with opened("redis", tmp_path, url=fresh(redis)) as backend:
        with full(redis):
            for _ in range(50):
                with pytest.raises(StoreError, match="takes no writes"):
                    await backend.store.create(session(), max_unbound=10)
    told = [record for record in caplog.records if "memory" in record.getMessage()]
    assert len(told) == 1
    assert "maxmemory" in told[0].getMessage()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru"])
async def test_a_policy_that_loses_sessions_is_warned_of(tmp_path, caplog, policy):
    flags = ("--maxmemory", "1gb", "--maxmemory-policy", policy)
    with RedisServer(tmp_path / "redis", *flags) as server:
        async with opened("redis", tmp_path, url=server.url):
            pass
    (warning,) = [record for record in caplog.records if "maxmemory-policy" in record.getMessage()]
    assert policy in warning.getMessage()
    assert "noeviction" in warning.getMessage()
    assert warning.levelno == logging.WARNING


async def test_a_policy_that_keeps_all_is_not_warned_of(redis, tmp_path, caplog):
    async with opened("redis", tmp_path, url=fresh(redis)):
        pass
    assert not [one for one in caplog.records if "maxmemory-policy" in one.getMessage()]


# --- addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kind", "places"),
    [
        ("redis://h", Kind.SINGLE, [("h", 6379)]),
        ("valkeys://u:p@h:1/3", Kind.SINGLE, [("h", 1)]),
        ("unix:///run/redis.sock?db=1", Kind.SINGLE, [("/run/redis.sock", 0)]),
        ("redis+cluster://a:1,[::1]:2/", Kind.CLUSTER, [("a", 1), ("::1", 2)]),
        ("rediss-cluster://a,b", Kind.CLUSTER, [("a", 6379), ("b", 6379)]),
        ("redis+sentinel://a:1,b/0?service=s", Kind.SENTINEL, [("a", 1), ("b", 26379)]),
        ("redis-sentinel://a/0?sentinelServiceName=s", Kind.SENTINEL, [("a", 26379)]),
        ("redis+sentinel://u:p@a/s/3", Kind.SENTINEL, [("a", 26379)]),
        ("rediss+sentinel://a#s", Kind.SENTINEL, [("a", 26379)]),
    ],
)
def test_addresses_are_read_in_the_spellings_of_the_field(url, kind, places):
    address = Address.parse(url)
    assert address.kind is kind
    assert address.places == tuple(Place(*place) for place in places)
    assert (address.tls is not None) == url.startswith(("rediss", "valkeys"))
    assert address.wait_replicas == (0 if kind is Kind.SINGLE else 1)
    if kind is Kind.SENTINEL:
        assert address.service == "s"
    if "3" in url:
        assert address.db == 3
    assert "p@" not in f"{address!r} {address.shown}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://a,b", "say which in the scheme"),
        ("redis://a?sessions=1", "no parameter 'sessions'"),
        ("rediss://a?ssl_ca_certs=/nowhere", "No such file"),
        ("redis://a?prefix={x}", "prefix"),
        ("redis+sentinel://a/s/x", "database"),
        ("redis+cluster://a:0", "port"),
        ("redis+cluster://a,", "no host"),
        ("redis+cluster://a?wait_replicas=all", "wait_replicas"),
        (f"redis://u:{SECRET}@[::1", "ValueError"),
    ],
)
def test_an_address_that_is_none_is_told_why(url, said):
    with pytest.raises(ConfigError) as caught:
        Address.parse(url)
    assert said in caught.value.message
    assert SECRET not in f"{caught.value.message} {caught.value.fix}"
