"""API keys and revocations with real processes: made by a command, felt by every server."""

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from tests.end_to_end.daemon import Daemon
from tests.in_process import HandshakeClient
from tests.sessions.stores import fresh

pytestmark = pytest.mark.slow
WITHIN_S = 10.0  # on a busy machine; a look is taken twice a second


def mcpd(*words: str, state: Path, ok: bool = True) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mcpd", *words, "--state-dir", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert not ok or done.returncode == 0, done
    return done


async def becomes(daemon: Daemon, credential: str, wanted: int) -> float:
    began = time.monotonic()
    with trio.fail_after(WITHIN_S):
        while await daemon.status(credential) != wanted:
            await trio.sleep(0.02)
    return time.monotonic() - began


async def open_stream(daemon: Daemon, credential: str):
    client = HandshakeClient(await daemon.connect(token=credential))
    await client.open()
    await client.peer.stream.aclose()
    stream = await daemon.connect(token=credential)
    await stream.begin("GET", "/mcp/", headers=client.headers)
    assert (await stream.head()).status_code == 200
    return stream


async def ends(stream) -> None:
    with trio.fail_after(WITHIN_S):
        while await stream.piece() is not None:
            pass
    await stream.stream.aclose()


@pytest.fixture(params=["sqlite", "redis"])
def servers(request, tmp_path):
    """Two processes of one Redis, or one beside the commands."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            daemons = [stack.enter_context(Daemon(tmp_path / "s", "--port", "0"))]
            flags: tuple[str, ...] = ()
        else:
            flags = ("--store", fresh(request.getfixturevalue("redis")))
            secret = tmp_path / "secret"
            secret.write_text("s" * 48)
            secret.chmod(0o600)
            more = (*flags, "--jwt-secret-file", str(secret))
            daemons = [
                stack.enter_context(Daemon(tmp_path / name, "--port", "0", *more))
                for name in ("s", "t")
            ]
        for daemon in daemons:
            daemon.wait_for("listening on")
        yield daemons, flags, tmp_path / "s"


async def test_a_revoked_key_ends_everywhere_with_its_streams(servers):
    daemons, flags, state = servers
    made = mcpd("key", "create", "--owner", "alice", *flags, state=state)
    key = made.stdout.strip()
    key_id = key.split("_")[1]
    streams = []
    for daemon in daemons:
        assert await daemon.status(key) == 200
        streams.append(await open_stream(daemon, key))
    revoked = mcpd("key", "revoke", key_id, *flags, state=state)
    assert revoked.stdout == f"revoked {key_id}\n"
    for daemon, stream in zip(daemons, streams, strict=True):
        print("felt after", await becomes(daemon, key, 401), "s")
        await ends(stream)
        assert key not in daemon.text()
    listed = mcpd("key", "list", *flags, state=state).stdout
    assert f"{key_id}  alice" in listed
    assert "revoked" in listed
    assert mcpd("key", "show", key_id, *flags, state=state).stdout.count(key_id) == 1


async def test_all_tokens_of_a_user_are_revoked_by_a_command(servers):
    daemons, flags, state = servers
    secret = ("--jwt-secret-file", str(state.parent / "secret")) if flags else ()
    old, others = daemons[0].token(*secret), daemons[0].token(*secret, sub="bob")
    assert await daemons[-1].status(old) == 200
    time.sleep(1.1)  # iat has whole seconds
    mcpd("token", "revoke", "--sub", "alice", *flags, state=state)
    for daemon in daemons:
        await becomes(daemon, old, 401)
        assert await daemon.status(others) == 200
    time.sleep(1.1)
    assert await daemons[0].status(daemons[0].token(*secret)) == 200


def test_what_a_person_gets_wrong(tmp_path):
    wrong = [
        (("key", "show", "nothing"), "there is no key nothing"),
        (("key", "revoke", "mcpd_" + "a" * 60), "(not shown)"),
        (("key", "create", "--owner", "a", "--expires", "soon"), "--expires must be a time"),
        (("key", "create", "--owner", "a", "--address", "here"), "no address range"),
        (("token", "revoke", "--sub", "a", "--before", "then"), "no moment"),
    ]
    for words, told in wrong:
        done = mcpd(*words, state=tmp_path, ok=False)
        assert done.returncode != 0
        assert told in done.stderr
        assert "a" * 60 not in done.stderr
