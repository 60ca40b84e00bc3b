"""A Redis that is more than one: a primary dies, hangs or hands over, and slots move."""

import signal
from functools import partial

import pytest
import trio
from msgspec.structs import replace

from mcpd.errors import StoreError
from mcpd.sessions.redis.keeper import LEASE_S
from mcpd.sessions.redis.keys import Keys, slot_of
from mcpd.sessions.retry import retry_while_away
from mcpd.sessions.streams import MAX_EVENTS, KeptCall
from tests.redis_servers import Cluster, ask, cluster, until, until_copied, watched
from tests.sessions.stores import fresh, opened, session
from tests.sessions.test_stores import ALWAYS

BEFORE = 50  # messages that are kept before the primary dies
pytestmark = pytest.mark.slow


class Writer:
    """The owner of a call: keeps one message after another until there are BEFORE of them after
    ``enough`` is set, or the call is another's.
    """

    def __init__(self, backend, one) -> None:
        self.acknowledged: list[int] = []
        self.enough = trio.Event()
        self._backend = backend
        self._one = one
        self._heard_at = trio.current_time()

    async def run(self) -> None:
        goal = None
        while goal is None or len(self.acknowledged) < goal:
            number = len(self.acknowledged) + 1
            append = partial(
                self._backend.events.append, self._one.id, "c", number, [b"%d" % number], last=False
            )
            if not await retry_while_away(append):
                self.check_silent()
                return
            self.acknowledged.append(number)
            self._heard_at = trio.current_time()
            await trio.sleep(0.005)
            if goal is None and self.enough.is_set():
                goal = len(self.acknowledged) + BEFORE

    def check_silent(self) -> None:
        """Another may only have the call if its owner was silent for its lease: the fail-over, or
        the machine, took so long.
        """
        assert trio.current_time() - self._heard_at > LEASE_S


async def survives(url, tmp_path, hurt) -> None:
    """What was acknowledged is there after ``hurt``, once and in order, and only the owner of the
    call can go on with it.
    """
    one = session(subject="alice", issuer="")
    async with (
        opened("redis", tmp_path, url=url) as backend,
        opened("redis", tmp_path, url=url) as other,
        trio.open_nursery() as nursery,
    ):
        await retry_while_away(partial(backend.store.create, one, max_unbound=10))
        kept = KeptCall(one.id, "c", b"{}", "alice")
        await retry_while_away(partial(backend.events.begin, kept))
        writer = Writer(backend, one)
        nursery.start_soon(writer.run)
        with trio.fail_after(30):
            while len(writer.acknowledged) < BEFORE:
                await trio.sleep(0.01)
        await trio.to_thread.run_sync(hurt, one)
        resumed = []
        other.bus.on_resync.append(lambda: resumed.append(1))
        writer.enough.set()
        with trio.fail_after(60):
            while nursery.child_tasks:
                if await _claim(other, one) is not None:
                    writer.check_silent()
                await trio.sleep(0.05)
        page = await retry_while_away(partial(other.events.read, one.id, "c", 0))
        numbers = [event.number for event in page.events]
        while len(page.events) == 100:
            read = partial(other.events.read, one.id, "c", numbers[-1])
            page = await retry_while_away(read)
            numbers += [event.number for event in page.events]
        assert numbers == writer.acknowledged[-MAX_EVENTS:]
        get = partial(other.store.get, one.id, alive_since=ALWAYS)
        assert await retry_while_away(get) == one
        assert (await retry_while_away(other.store.count)).total == 1


async def _refusal(backend) -> str:
    """What is said of a write that is refused."""
    try:
        await backend.store.create(session(), max_unbound=10)
    except StoreError as error:
        return error.message
    return ""


async def _claim(backend, one):
    try:
        return await backend.ownership.claim(one.id, "c")
    except StoreError:
        return None


@pytest.fixture
def replicated(tmp_path):
    with cluster(tmp_path / "cluster", replicas=True) as running:
        yield running


async def test_a_primary_of_a_cluster_is_killed_and_nothing_acknowledged_is_lost(
    replicated, tmp_path
):
    url = fresh(replicated)
    prefix = url.rpartition("=")[2]

    def kill(one):
        replicated.owner_of(slot_of(Keys(prefix).record(one.id))).kill()

    await survives(url, tmp_path, kill)


# --- Sentinels: the last one leaves no primary to hurt ---------------------------------------


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory):
    with watched(tmp_path_factory.mktemp("watched")) as running:
        yield running


async def test_a_write_that_no_replica_has_is_not_acknowledged(sentinels, tmp_path):
    replica = next(one for one in sentinels.servers if one is not sentinels.primary())
    async with opened("redis", tmp_path, url=fresh(sentinels)) as backend:
        await retry_while_away(partial(backend.store.create, session(), max_unbound=10))
        replica.process.send_signal(signal.SIGSTOP)
        try:
            with trio.fail_after(30):
                while "no replica confirmed" not in (said := await _refusal(backend)):
                    assert said
        finally:
            replica.process.send_signal(signal.SIGCONT)
        until_copied(sentinels.primary())
        one = session()
        await retry_while_away(partial(backend.store.create, one, max_unbound=10))
        assert await backend.store.get(one.id, alive_since=ALWAYS) == one


async def test_a_primary_behind_sentinels_hands_over(tmp_path):
    with watched(tmp_path, sentinels=3) as running:
        old = running.primary()

        def hand_over(_):
            ask(running.sentinels[0], "SENTINEL", "FAILOVER", "watched")
            until(lambda: running.primary() is not old, "another primary")

        await survives(fresh(running), tmp_path, hand_over)


async def test_a_primary_behind_sentinels_is_killed_and_nothing_acknowledged_is_lost(
    sentinels, tmp_path
):
    def kill(_):
        sentinels.primary().kill()

    await survives(fresh(sentinels), tmp_path, kill)


# --- slots that move -------------------------------------------------------------------------


def move(running: Cluster, slot: int, keys: list[str], *, done: bool) -> None:
    """As an operator moves a slot; without ``done`` only these keys."""
    source = running.owner_of(slot)
    target = running.nodes[(running.nodes.index(source) + 1) % len(running.nodes)]
    names = {node: node.cli("CLUSTER", "MYID") for node in (source, target)}
    if not done:
        target.cli("CLUSTER", "SETSLOT", str(slot), "IMPORTING", names[source])
        source.cli("CLUSTER", "SETSLOT", str(slot), "MIGRATING", names[target])
    if keys:
        source.cli("MIGRATE", "127.0.0.1", str(target.port), "", "0", "5000", "KEYS", *keys)
    if done:
        for node in (target, source, *running.nodes):
            node.cli("CLUSTER", "SETSLOT", str(slot), "NODE", names[target])


async def test_slots_move_while_their_sessions_are_used(redis_cluster, tmp_path):
    running, url = redis_cluster, fresh(redis_cluster)
    keys = Keys(url.rpartition("=")[2])
    one = session(subject="alice", issuer="")
    async with opened("redis", tmp_path, url=url) as backend:
        link = backend.store._redis
        await backend.store.create(one, max_unbound=10)
        await backend.events.begin(KeptCall(one.id, "c", b"{}", "alice"))
        slot = slot_of(keys.record(one.id))

        async def use(number: int) -> None:
            change = partial(replace, log_level=f"level{number}")
            changed = await backend.store.update(one.id, change)
            assert changed.log_level == f"level{number}"

        # one key has moved, the others have not: ASK, and for a script over both TRYAGAIN
        await trio.to_thread.run_sync(
            partial(move, running, slot, [keys.record(one.id)], done=False)
        )
        await use(1)
        rest = [*keys.stream(one.id, "c"), keys.unfinished(one.id)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(backend.events.put, one.id, b"x"))
            await trio.to_thread.run_sync(partial(move, running, slot, rest, done=True))
        await use(2)  # MOVED, where it is not known yet
        assert await backend.events.append(one.id, "c", 1, [b"x"], last=True)
        assert await backend.events.newest(one.id) > 0
        assert link.outages == 0
