"""What must stay private: variables, descriptors, paths, and files that hold secrets."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from mcpd.auth.client_token import ClientToken
from mcpd.server.environment import has_password, seal, secrets_of, take_environment, unseal
from tests.end_to_end.daemon import Daemon, children_of
from tests.end_to_end.test_lifecycle import certificate
from tests.in_process import HandshakeClient, modern
from tests.redis_server import RedisServer
from tests.sessions.stores import fresh

SECRET = "s" * 40

CHILD_APP = """
import os, subprocess, sys
from mcpd import App

app = App("children")
LOOK = "import os, json; print(json.dumps([dict(os.environ), os.listdir('/proc/self/fd')]))"

@app.tool
def child() -> str:
    \"\"\"What a program finds that a tool starts, with all descriptors that it may have.\"\"\"
    look = [sys.executable, "-c", LOOK]
    return subprocess.run(look, close_fds=False, capture_output=True).stdout.decode()
"""


@pytest.fixture
def app(tmp_path):
    path = tmp_path / "child_app.py"
    path.write_text(CHILD_APP)
    return f"{path}:app"


async def look_of_child(daemon: Daemon, token: str) -> tuple[dict[str, str], list[str]]:
    peer = await daemon.connect(token=token)
    reply = await modern(peer, "tools/call", {"name": "child"})
    await peer.stream.aclose()
    environ, descriptors = json.loads(reply.json()["result"]["content"][0]["text"])
    return environ, descriptors


def check_child(environ: dict[str, str], descriptors: list[str]) -> None:
    for name, value in environ.items():
        assert SECRET not in value, name
        assert "p4ssword" not in value, name
    ours = {"JWT_SECRET_KEY", "MCPD_TOKEN", "MCPD_WORKER", "NOTIFY_SOCKET", "WATCHDOG_USEC"}
    ours |= {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}
    assert not ours & set(environ)
    assert environ["MCPD_LOG_LEVEL"] == "info"  # what is no secret is there for apps
    assert set(descriptors) <= {"0", "1", "2", "3"}  # 3 is the folder that was listed


def environ(tmp_path) -> dict[str, str]:
    return {
        "JWT_SECRET_KEY": SECRET,
        "MCPD_TOKEN": SECRET,
        "MCPD_LOG_LEVEL": "info",
        "NOTIFY_SOCKET": f"{tmp_path}/nowhere",
        "WATCHDOG_USEC": "100000000",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
    }


def with_jwt(daemon: Daemon, tmp_path) -> str:
    file = tmp_path / "for-signing"
    file.write_text(SECRET)
    return daemon.token("--jwt-secret-file", str(file))


@pytest.mark.slow
async def test_programs_that_tools_start_get_no_secret_and_no_descriptor(tmp_path, app):
    flags = ("--port", "0", "--app", app)
    with Daemon(tmp_path / "s", *flags, environ=environ(tmp_path)) as daemon:
        daemon.wait_for("listening on")
        check_child(*await look_of_child(daemon, with_jwt(daemon, tmp_path)))


@pytest.mark.slow
async def test_workers_get_secrets_and_their_children_none(tmp_path, app, tmp_path_factory):
    with RedisServer(
        tmp_path_factory.mktemp("private-redis"), "--requirepass", "p4ssword"
    ) as redis:
        store = fresh(redis).replace("redis://", "redis://:p4ssword@")
        flags = ("--port", "0", "--workers", "2", "--app", app)
        variables = {**environ(tmp_path), "MCPD_STORE": store}
        with Daemon(tmp_path / "s", *flags, environ=variables) as daemon:
            daemon.wait_for("listening on")
            token = with_jwt(daemon, tmp_path)
            for _ in range(6):  # until both will have answered
                check_child(*await look_of_child(daemon, token))
            session = HandshakeClient(await daemon.connect(token=token))
            await session.open()  # the store was reached with its password
            await session.peer.stream.aclose()
            for worker in children_of(daemon.process.pid):
                given = Path(f"/proc/{worker}/environ").read_bytes()
                called = Path(f"/proc/{worker}/cmdline").read_bytes()
                for secret in (SECRET.encode(), b"p4ssword"):
                    assert secret not in given + called
            old = children_of(daemon.process.pid)
            os.kill(old[0], signal.SIGKILL)  # its successor gets them as well
            daemon.wait_for("(?s)(worker [0-9]+ serves.*){3}")
            check_child(*await look_of_child(daemon, token))
            assert daemon.stop() == 0
            assert "p4ssword" not in daemon.text()


@pytest.mark.parametrize(
    ("url", "holds"),
    [
        ("redis://u:p@h/0", True),
        ("redis://:p@h:6379", True),
        ("rediss://h/0?password=p", True),
        ("redis://h:6379/0", False),
        ("redis://u@h/0", False),
        ("sqlite:/a:b@c", False),
        ("", False),
    ],
)
def test_an_address_with_a_password_is_recognized(url, holds):
    assert has_password(url) is holds
    ours = take_environment(given := {"MCPD_STORE": url, "HOME": "/"})
    assert ours["MCPD_STORE"] == url
    assert ("MCPD_STORE" in given) is not holds
    assert unseal(seal(secrets_of(ours))) == ({"MCPD_STORE": url} if holds else {})


@pytest.mark.slow
async def test_a_client_is_told_no_path_when_the_store_fails(tmp_path):
    with Daemon(tmp_path / "s", "--port", "0") as daemon:
        session = HandshakeClient(await daemon.connect(token=daemon.token()))
        await session.open()
        database = tmp_path / "s" / "sessions.sqlite"
        for file in database.parent.glob("sessions.sqlite*"):
            if file.suffix != ".lock":
                file.write_bytes(b"no database" * 1000)
        other = await daemon.connect()
        reply = await other.request("POST", "/register", json={})
        assert reply.status == 503
        assert reply.json()["error"] == "store_unavailable"
        assert str(tmp_path) not in reply.body.decode()
        assert "sqlite" not in reply.body.decode()
        daemon.wait_for(f"{database}: ")  # the operator is
        for one in (session.peer, other):
            await one.stream.aclose()


@pytest.mark.slow
def test_each_kind_of_file_that_others_can_read_gives_a_warning(tmp_path):
    cert, key = certificate(tmp_path, "one")
    secrets, config = tmp_path / "secrets", tmp_path / "mcpd.toml"
    secrets.write_text(SECRET)
    config.write_text("store = 'redis://:p4ssword@127.0.0.1:1/0'\nlog_level = 'info'\n")
    flags = ("--port", "0", "--tls-certificate", str(cert), "--tls-key", str(key))
    flags += ("--jwt-secret-file", str(secrets), "--config", str(config))
    for mode, count in ((0o640, 3), (0o604, 3), (0o600, 0)):
        for file in (key, secrets, config):
            file.chmod(mode)
        with Daemon(tmp_path / "s", *flags) as daemon:
            daemon.wait_for("listening on")
            told = re.findall(r"WARNING mcpd.server: the (.*) can be read by others", daemon.text())
        assert len(told) == count
    (tmp_path / "t").mkdir()
    own = tmp_path / "t" / "jwt-secret"
    own.write_text(SECRET)
    own.chmod(0o644)
    with Daemon(tmp_path / "t", "--port", "0") as daemon:
        daemon.wait_for(f"the secret file {own} can be read by others: chmod 600 {own}")


def test_a_token_file_that_others_can_read_gives_a_warning(tmp_path, caplog):
    file = tmp_path / "token"
    file.write_text("a.b.c")
    for mode, told in ((0o644, True), (0o600, False)):
        file.chmod(mode)
        caplog.clear()
        ClientToken(file, {})
        assert (f"the token file {file} can be read by others" in caplog.text) is told
