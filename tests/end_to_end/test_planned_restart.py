"""What clients and load balancers notice of a planned stop: nothing that is lost."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import h11
import pytest
import trio

from tests.end_to_end.daemon import Daemon
from tests.end_to_end.proxies import proxied
from tests.end_to_end.test_lifecycle import SLOW_APP
from tests.in_process import modern
from tests.peer import Peer
from tests.sessions.stores import fresh

pytestmark = pytest.mark.slow
RESTARTS = 4
CLIENTS = 6


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A socket that outlives every server on it, as systemd's socket unit keeps one."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        yield sock


def activated(sock: socket.socket, tmp_path, *flags: str, **more) -> Daemon:
    number = sock.fileno()
    script = f'export LISTEN_PID=$$ LISTEN_FDS=1; exec 3<&{number}; exec "$@"'
    return Daemon(
        tmp_path / "s", *flags, command=("bash", "-c", script, "_"), pass_fds=(number,), **more
    )


@dataclass
class Callers:
    """Clients that call on and on, each on a connection that it keeps for as long as it may."""

    port: int
    token: str
    served: int = 0
    lost: list[object] = field(default_factory=list)

    async def call_on_and_on(self) -> None:
        while True:
            stream = await trio.open_tcp_stream("127.0.0.1", self.port)
            peer = Peer(stream, headers={"authorization": f"Bearer {self.token}"})
            try:
                while await self._call(peer):
                    pass
            except (trio.BrokenResourceError, h11.RemoteProtocolError) as error:
                self.lost.append(repr(error))
            finally:
                await trio.aclose_forcefully(stream)

    async def _call(self, peer: Peer) -> bool:
        reply = await modern(peer, "tools/list")
        if reply.status != 200:
            self.lost.append((reply.status, reply.body[:200]))
            return False
        self.served += 1
        return reply.headers.get("connection") != "close"

    async def more(self, count: int = 50) -> None:
        """Wait until so many more calls were answered."""
        wanted = self.served + count
        with trio.fail_after(60):
            while self.served < wanted:
                await trio.sleep(0.01)


@pytest.mark.parametrize("proxy", ["haproxy", "nginx"])
async def test_keep_alive_clients_behind_a_proxy_lose_no_call_at_restarts(tmp_path, proxy):
    with listening() as sock, proxied(proxy, tmp_path, sock.getsockname()[1]) as port:
        daemon = activated(sock, tmp_path)
        try:
            daemon.wait_for("listening on")
            callers = Callers(port, daemon.token())
            async with trio.open_nursery() as nursery:
                for _ in range(CLIENTS):
                    nursery.start_soon(callers.call_on_and_on)
                for _ in range(RESTARTS):
                    await callers.more()
                    assert await trio.to_thread.run_sync(daemon.stop) == 0, daemon.text()
                    daemon.kill()
                    daemon = activated(sock, tmp_path)
                await callers.more()
                nursery.cancel_scope.cancel()
        finally:
            daemon.kill()
    assert callers.lost == []


async def test_a_server_that_stops_says_so_and_serves_on_for_a_while(tmp_path):
    with Daemon(tmp_path / "s", "--port", "0", "--lame-duck-s", "60") as daemon:
        used = await daemon.connect(token=daemon.token())
        assert "connection" not in (await modern(used, "tools/list")).headers
        daemon.send(signal.SIGTERM)
        daemon.wait_for("stopping: 1 connections")
        reply = await modern(used, "tools/list")  # idle, and not closed
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        fresh_one = await daemon.connect()  # still accepted
        health = await fresh_one.request("GET", "/health")
        assert (health.status, health.json()["status"]) == (503, "draining")
        assert health.headers["connection"] == "close"
        daemon.send(signal.SIGTERM)  # a second one ends this phase, too
        assert daemon.wait() == 0
        for one in (used, fresh_one):
            await trio.aclose_forcefully(one.stream)


async def test_a_server_without_traffic_stops_at_once(tmp_path):
    """With connections that no request came on for as long as the phase is."""
    flags = ("--port", "0", "--lame-duck-s", "100000")
    with Daemon(tmp_path / "s", *flags) as daemon:
        daemon.wait_for("listening on")
        assert daemon.stop() == 0


async def test_calls_that_run_get_the_whole_drain_after_the_lame_duck_phase(tmp_path):
    app = tmp_path / "slow_app.py"
    app.write_text(SLOW_APP)
    flags = ("--port", "0", "--app", f"{app}:app", "--lame-duck-s", "0.2")
    with Daemon(tmp_path / "s", *flags) as daemon:
        peer = await daemon.connect(token=daemon.token())
        async with trio.open_nursery() as nursery:

            async def nap() -> None:
                reply = await modern(
                    peer, "tools/call", {"name": "nap", "arguments": {"seconds": 2}}
                )
                assert reply.json()["result"]["content"][0]["text"] == "rested"
                assert reply.headers["connection"] == "close"

            nursery.start_soon(nap)
            await trio.sleep(0.3)
            daemon.send(signal.SIGTERM)
        await trio.aclose_forcefully(peer.stream)
        assert await trio.to_thread.run_sync(daemon.wait) == 0


async def test_a_worker_that_is_replaced_does_not_say_that_the_service_is_not_ready(
    tmp_path, redis
):
    """Others accept on the same socket, so its health is theirs."""
    flags = ("--port", "0", "--workers", "2", "--store", fresh(redis), "--lame-duck-s", "60")
    with Daemon(tmp_path / "s", *flags) as daemon:
        peers = [await daemon.connect() for _ in range(12)]
        for peer in peers:
            assert (await peer.request("GET", "/health")).status == 200
        daemon.send(signal.SIGUSR2)
        await trio.to_thread.run_sync(lambda: daemon.wait_for("all workers are new"))
        daemon.wait_for("(?s)stopping: .*stopping: ")
        for peer in peers:
            reply = await peer.request("GET", "/health")
            assert (reply.status, reply.headers["connection"]) == (200, "close")
            await trio.aclose_forcefully(peer.stream)
        for _ in range(2):
            daemon.send(signal.SIGTERM)
            daemon.wait_for("stopping [2-4] workers")
        assert await trio.to_thread.run_sync(daemon.wait) == 0
