"""What was acknowledged is there, however the process ended."""

import signal

import pytest
import trio

from tests.end_to_end.daemon import Daemon
from tests.in_process import HandshakeClient

pytestmark = pytest.mark.slow


async def register_until_cut(daemon: Daemon, acknowledged: list[str]) -> None:
    peer = await daemon.connect()
    try:
        while True:
            reply = await peer.request("POST", "/register", json={})
            acknowledged.append(reply.json()["session_id"])
    except Exception:
        await trio.aclose_forcefully(peer.stream)


async def test_kill_9_during_a_stream_of_registrations_loses_none(tmp_path):
    acknowledged: list[str] = []
    with Daemon(tmp_path / "state", "--port", "0") as daemon:
        token = daemon.token()
        before = HandshakeClient(await daemon.connect(token=token), "2025-06-18")
        await before.open()
        daemon.wait_for("listening")
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(register_until_cut, daemon, acknowledged)
            while len(acknowledged) < 300:
                await trio.sleep(0.01)
            daemon.send(signal.SIGKILL)
        daemon.wait()
        await trio.aclose_forcefully(before.peer.stream)
    assert len(acknowledged) >= 300
    with Daemon(tmp_path / "state", "--port", "0") as daemon:
        known: set[str] = set()
        path = "/registrations?limit=1000"
        peer = await daemon.connect()
        while path:
            page = (await peer.request("GET", path)).json()
            known |= set(page["sessions"])
            path = page.get("next")
        assert set(acknowledged) <= known
        # the client with the old id goes on as if nothing had happened
        after = HandshakeClient(await daemon.connect(token=token), "2025-06-18")
        after.id = before.id
        result = (await after.call("tools/list")).json()["result"]
        assert result["tools"][0]["name"] == "manage_task"
        assert "outputSchema" in result["tools"][0]
        for stream in (peer.stream, after.peer.stream):
            await stream.aclose()
        assert daemon.stop() == 0


async def test_sessions_of_others_stay_closed_after_a_restart(tmp_path):
    with Daemon(tmp_path / "state", "--port", "0") as daemon:
        session = HandshakeClient(await daemon.connect(token=daemon.token(sub="alice")))
        await session.open()
        await session.peer.stream.aclose()
        assert daemon.stop() == 0
    with Daemon(tmp_path / "state", "--port", "0") as daemon:
        thief = HandshakeClient(await daemon.connect(token=daemon.token(sub="mallory")))
        thief.id = session.id
        assert (await thief.call("ping")).status == 404
        await thief.peer.stream.aclose()
