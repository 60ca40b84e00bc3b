"""A disk that takes no more, under a real daemon, and then does again."""

import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.end_to_end.daemon import Daemon
from tests.in_process import HandshakeClient, modern
from tests.peer import Peer

NO_LIMIT = resource.RLIM_INFINITY


def limit_files(daemon: Daemon, size: int) -> None:
    """No file of the daemon can grow beyond so many bytes."""
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, NO_LIMIT))


@asynccontextmanager
async def connected(daemon: Daemon, token: str) -> AsyncIterator[Peer]:
    peer = await daemon.connect(token=token)
    try:
        yield peer
    finally:
        await trio.aclose_forcefully(peer.stream)


async def state(peer: Peer) -> tuple[str, str]:
    reply = await peer.request("GET", "/health")
    assert reply.status == 200
    return reply.json()["status"], reply.json()["store"]["state"]


async def register(peer: Peer, acknowledged: list[str]) -> bool:
    """Whether there is a new session; else the client is told when to come back."""
    reply = await peer.request("POST", "/register", json={})
    if reply.status == 503:
        assert reply.headers["retry-after"] == "2"
        assert "/state" not in reply.body.decode()  # no path
        return False
    acknowledged.append(reply.json()["session_id"])
    return True


async def test_a_disk_that_takes_no_more_is_told_and_all_goes_on_when_it_does_again(tmp_path):
    acknowledged: list[str] = []
    with Daemon(tmp_path / "state", "--port", "0") as daemon:
        token = daemon.token()
        async with connected(daemon, token) as peer, connected(daemon, token) as other:
            client = HandshakeClient(peer)
            await client.open()
            acknowledged.append(client.id)
            limit_files(daemon, 300 * 1024)  # its log is shorter than its database gets
            while await register(other, acknowledged):
                pass
            daemon.wait_for(r"sessions\.sqlite: .*mcpd goes on by itself")
            with trio.fail_after(30):
                while await state(other) != ("degraded", "failing"):
                    await trio.sleep(0.05)
            assert (await modern(other, "tools/list")).status == 200
            assert (await client.call("tools/list")).status == 200  # it needs no write
            limit_files(daemon, NO_LIMIT)
            with trio.fail_after(60):
                while await state(other) != ("ok", "ok"):
                    await trio.sleep(0.1)
            daemon.wait_for(r"sessions\.sqlite can be written again")
            assert await register(other, acknowledged)
        assert daemon.stop() == 0
    assert len(acknowledged) > 10
    with Daemon(tmp_path / "state", "--port", "0") as daemon:
        async with connected(daemon, token) as peer:
            known: set[str] = set()
            path = "/registrations?limit=1000"
            while path:
                page = (await peer.request("GET", path)).json()
                known |= set(page["sessions"])
                path = page.get("next")
    assert set(acknowledged) <= known
