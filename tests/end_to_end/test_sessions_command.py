"""``mcpd sessions`` on a store, beside a server that uses it."""

import json
import subprocess
import sys

import pytest
import trio

from tests.end_to_end.daemon import Daemon
from tests.in_process import HandshakeClient
from tests.sessions.stores import fresh

pytestmark = pytest.mark.slow
NOTICED_S = 10.0


def mcpd(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mcpd", "sessions", *arguments],
        capture_output=True, text=True, input=text, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_look_at_a_store_and_end_a_session_in_it(tmp_path, redis, kind):
    store = f"sqlite:{tmp_path}/x.sqlite" if kind == "sqlite" else fresh(redis)
    with Daemon(tmp_path / "s", "--port", "0", "--store", store) as daemon:
        token = daemon.token()
        clients = [HandshakeClient(await daemon.connect(token=token)) for _ in range(2)]
        for client in clients:
            await client.open()
        gone, stays = clients
        listed = mcpd("list", "--store", store)
        assert listed.returncode == 0, listed.stderr
        for client in clients:
            (line,) = [line for line in listed.stdout.splitlines() if client.id in line]
            assert "alice" in line
            assert "2025-11-25" in line
        shown = json.loads(mcpd("show", gone.id, "--store", store).stdout)
        assert (shown["id"], shown["subject"]) == (gone.id, "alice")
        assert mcpd("show", "nobody", "--store", store).returncode == 1
        ended = mcpd("end", gone.id, "--store", store)
        assert (ended.returncode, ended.stdout) == (0, f"ended {gone.id}\n")
        assert mcpd("end", gone.id, "--store", store).returncode == 1
        with trio.fail_after(NOTICED_S):
            while (await gone.call("ping")).status != 404:
                await trio.sleep(0.1)
        assert (await stays.call("ping")).status == 200
        for client in clients:
            await client.peer.stream.aclose()


async def test_sessions_move_from_sqlite_to_redis(tmp_path, redis):
    old, new = f"sqlite:{tmp_path}/x.sqlite", fresh(redis)
    with Daemon(tmp_path / "s", "--port", "0", "--store", old) as daemon:
        client = HandshakeClient(await daemon.connect(token=daemon.token()))
        await client.open()
        await client.call("logging/setLevel", {"level": "error"})
        await client.peer.stream.aclose()
        assert daemon.stop() == 0
    file = tmp_path / "sessions.jsonl"
    done = mcpd("export", str(file), "--store", old)
    assert (done.returncode, done.stderr) == (0, "sessions exported: 1\n")
    assert file.stat().st_mode & 0o077 == 0
    done = mcpd("import", str(file), "--store", new)
    assert done.returncode == 0, done.stderr
    assert "sessions imported: 1, " in done.stderr
    again = mcpd("import", "--store", new, text=file.read_text())
    assert "sessions imported: 0, there already: 1, " in again.stderr
    with Daemon(tmp_path / "s", "--port", "0", "--store", new) as daemon:
        client.peer = await daemon.connect(token=daemon.token())
        reply = await client.call(
            "tools/call", {"name": "manage_task", "arguments": {"action": "list"}}
        )
        assert reply.status == 200
        (shown,) = [
            json.loads(line) for line in mcpd("list", "--json", "--store", new).stdout.splitlines()
        ]
        assert shown["log_level"] == "error"
        await client.peer.stream.aclose()


def test_what_is_no_export_and_no_store_is_told_in_plain_words(tmp_path):
    store = f"sqlite:{tmp_path}/x.sqlite"
    missing = mcpd("list", "--store", store)
    assert (missing.returncode, missing.stdout) == (78, "")
    assert "There is no store" in missing.stderr
    broken = mcpd("import", "--store", store, text="a shopping list\n")
    assert broken.returncode == 78
    assert "Line 1 is not of an export" in broken.stderr
    memory = mcpd("list", "--store", "memory")
    assert "gone with its process" in memory.stderr
