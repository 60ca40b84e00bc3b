"""Redis as it runs where more than one is used: a cluster, and a primary with Sentinels."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.end_to_end.daemon import free_port
from tests.redis_server import RedisServer

READY_S = 30.0
NODE_TIMEOUT_MS = 1000  # until a cluster takes a node for gone
DOWN_AFTER_MS = 500  # until a Sentinel does
SLOTS = 16384
PRIMARIES = 3


def until(done: Callable[[], bool], what: str) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + READY_S
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Cluster:
    """Three primaries, each with a replica if that is wanted."""

    def __init__(self, nodes: list[RedisServer]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"redis+cluster://{places}/"

    def owner_of(self, slot: int) -> RedisServer:
        """The primary that has a slot."""
        for line in self.nodes[0].cli("CLUSTER", "NODES").splitlines():
            words = line.split()
            for word in words[8:]:
                first, _, last = word.partition("-")
                if first.isdecimal() and int(first) <= slot <= int(last or first):
                    port = int(words[1].partition("@")[0].rpartition(":")[2])
                    return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"no node has the slot {slot}")


@contextmanager
def cluster(folder: Path, *, replicas: bool = False, program: str = "") -> Iterator[Cluster]:
    """A cluster that serves all of its slots."""
    flags = (
        "--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS),
        "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0",
    )  # fmt: skip
    count = PRIMARIES * (2 if replicas else 1)
    with ExitStack() as stack:
        nodes = []
        for number in range(count):
            more = ("--cluster-port", str(free_port()))
            server = RedisServer(folder / f"n{number}", *flags, *more, program=program)
            nodes.append(stack.enter_context(server))
        for number, node in enumerate(nodes[:PRIMARIES]):
            first, last = SLOTS * number // PRIMARIES, SLOTS * (number + 1) // PRIMARIES - 1
            node.cli("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
            node.cli("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        for node in nodes[1:]:
            bus = node.flags[-1]
            nodes[0].cli("CLUSTER", "MEET", "127.0.0.1", str(node.port), bus)
        until(lambda: all(_knows(node, count) for node in nodes), "a cluster")
        for primary, replica in zip(nodes[:PRIMARIES], nodes[PRIMARIES:], strict=False):
            replica.cli("CLUSTER", "REPLICATE", primary.cli("CLUSTER", "MYID"))
        for replica in nodes[PRIMARIES:]:
            until(lambda one=replica: "master_link_status:up" in one.cli("INFO"), "a replica")
        for primary, _ in zip(nodes[:PRIMARIES], nodes[PRIMARIES:], strict=False):
            until_copied(primary)
        yield Cluster(nodes)


def until_copied(primary: RedisServer) -> None:
    """Until a primary counts a replica as one: that comes up to a second after the replica has all
    that there is, and what is written before that is not waited for.
    """
    until(lambda: "state=online" in primary.cli("INFO", "replication"), "a replica that counts")


def _knows(node: RedisServer, count: int) -> bool:
    told = node.cli("CLUSTER", "INFO")
    return "cluster_state:ok" in told and f"cluster_known_nodes:{count}" in told


class Watched:
    """A primary and a replica, and Sentinels that watch them."""

    def __init__(self, servers: list[RedisServer], sentinels: list[int]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://{places}/watched"

    def primary(self) -> RedisServer:
        """As the Sentinels have it."""
        told = ask(self.sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "watched")
        port = int(told.split()[1])
        return next(server for server in self.servers if server.port == port)


@contextmanager
def watched(folder: Path, *, sentinels: int = 1) -> Iterator[Watched]:
    """Ready for a fail-over. Several Sentinels elect one that does it, which takes longer."""
    with ExitStack() as stack:
        primary = stack.enter_context(RedisServer(folder / "a", "--repl-diskless-sync-delay", "0"))
        replica = RedisServer(folder / "b", "--replicaof", f"127.0.0.1 {primary.port}")
        stack.enter_context(replica)
        ports = [free_port() for _ in range(sentinels)]
        for port in ports:
            stack.enter_context(_sentinel(folder, port, primary, sentinels // 2 + 1))
        until(lambda: "master_link_status:up" in replica.cli("INFO"), "a replica")
        until_copied(primary)
        for port in ports:
            until(
                lambda port=port: _sees_all(port, sentinels - 1), "Sentinels that know each other"
            )
        yield Watched([primary, replica], ports)


def _sees_all(port: int, others: int) -> bool:
    told = ask(port, "SENTINEL", "MASTER", "watched").split("\n")
    facts = dict(zip(told[::2], told[1::2], strict=False))
    return facts.get("num-other-sentinels") == str(others) and facts.get("num-slaves") == "1"


@contextmanager
def _sentinel(folder: Path, port: int, primary: RedisServer, quorum: int) -> Iterator[None]:
    file = folder / f"sentinel-{port}.conf"
    file.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor watched 127.0.0.1 {primary.port} {quorum}\n"
        f"sentinel down-after-milliseconds watched {DOWN_AFTER_MS}\n"
        "sentinel failover-timeout watched 2000\n"
    )
    with (folder / f"sentinel-{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [primary.binary, str(file), "--sentinel"], stdout=log, stderr=log
        )
    try:
        until(lambda: ask(port, "PING") == "PONG", "a Sentinel")
        yield
    finally:
        process.kill()
        process.wait()


def ask(port: int, *command: str) -> str:
    """What redis-cli prints."""
    done = subprocess.run(
        ["redis-cli", "-p", str(port), *command], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
