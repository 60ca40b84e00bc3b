"""A reload: what is read again, what an operator is told, and what happens if it fails."""

import os
import re
import signal
import subprocess

import pytest
import trio

from mcpd.auth.secrets import parse_secrets
from tests.end_to_end.daemon import Daemon, children_of
from tests.end_to_end.test_lifecycle import certificate
from tests.in_process import HandshakeClient
from tests.sessions.stores import fresh

pytestmark = pytest.mark.slow

ONE, OTHER = "a" * 40, "b" * 40


def key_id(secret: str) -> str:
    return parse_secrets(secret, "a test")[0].kid


@pytest.fixture
def secrets(tmp_path):
    path = tmp_path / "secrets"
    path.write_text(f"{ONE}\n")
    path.chmod(0o600)
    return path


async def test_new_secrets_are_told_by_their_key_ids_and_nothing_else(tmp_path, secrets):
    flags = ("--jwt-secret-file", str(secrets))
    with Daemon(tmp_path / "s", "--port", "0", *flags) as daemon:
        daemon.wait_for("listening on")
        old = daemon.token(*flags)
        secrets.write_text(f"{OTHER}\n{ONE}\n")
        done = daemon.reload()
        assert done.returncode == 0, done
        assert f"{key_id(OTHER)} signs; new: {key_id(OTHER)}" in done.stderr
        assert "log level info: unchanged" in done.stderr
        assert await daemon.status(old) == 200
        secrets.write_text(f"{OTHER}\n")
        assert f"gone: {key_id(ONE)}" in daemon.reload().stderr
        assert await daemon.status(old) == 401
        assert f"keys {key_id(OTHER)} of {secrets}: unchanged" in daemon.reload().stderr
        for secret in (ONE, OTHER):
            assert secret not in daemon.text() + done.stderr


async def test_streams_outlast_a_new_secret_and_end_with_a_removed_one(tmp_path, secrets):
    flags = ("--jwt-secret-file", str(secrets))
    with Daemon(tmp_path / "s", "--port", "0", *flags) as daemon:
        daemon.wait_for("listening on")
        token = daemon.token(*flags)
        client = HandshakeClient(await daemon.connect(token=token))
        await client.open()
        stream = await daemon.connect(token=token)
        await stream.begin("GET", "/mcp/", headers=client.headers)
        assert (await stream.head()).status_code == 200
        secrets.write_text(f"{OTHER}\n{ONE}\n")
        assert daemon.reload().returncode == 0
        with trio.move_on_after(0.5) as still_open:
            while await stream.piece() is not None:
                pass
        assert still_open.cancelled_caught
        secrets.write_text(f"{OTHER}\n")
        assert daemon.reload().returncode == 0
        with trio.fail_after(30):
            while await stream.piece() is not None:
                pass
        for peer in (client.peer, stream):
            await peer.stream.aclose()


async def test_a_reload_that_fails_is_a_failure_and_changes_nothing(tmp_path, secrets):
    flags = ("--jwt-secret-file", str(secrets))
    with Daemon(tmp_path / "s", "--port", "0", *flags) as daemon:
        daemon.wait_for("listening on")
        token = daemon.token(*flags)
        secrets.write_text("short\n")
        done = daemon.reload()
        assert done.returncode == 1
        assert "the old settings stay" in done.stderr
        assert "at least 32" in done.stderr
        assert await daemon.status(token) == 200
        secrets.unlink()
        assert daemon.reload().returncode == 1
        assert await daemon.status(token) == 200


@pytest.mark.parametrize("where", ["variable", "credential"])
def test_what_cannot_be_read_anew_is_said_with_what_to_do(tmp_path, where):
    environ = {"JWT_SECRET_KEY": ONE}
    if where == "credential":
        (tmp_path / "jwt-secret").write_text(ONE)
        environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    with Daemon(tmp_path / "s", "--port", "0", environ=environ) as daemon:
        daemon.wait_for("listening on")
        told = daemon.reload().stderr
        assert f"keys {key_id(ONE)}" in told
        assert "unchanged" in told
        assert re.search("read.* at the start alone; restart .* jwt_secret_file", told)


def test_settings_that_wait_for_a_restart_are_named(tmp_path, secrets):
    file = tmp_path / "mcpd.toml"
    file.write_text("port = 0\n")
    with Daemon(tmp_path / "s", "--config", str(file)) as daemon:
        daemon.wait_for("listening on")
        file.write_text(
            f"port = 1234\nlog_level = 'debug'\njwt_secret_file = '{secrets}'\nworkers = 7\n"
        )
        told = daemon.reload().stderr
        assert re.search(r"in force after a restart: port, workers$", told.strip())
        assert "log level debug: it was info" in told
        assert f"new: {key_id(ONE)}" in told
        file.write_text("prot = 1\n")
        done = daemon.reload()
        assert done.returncode == 1
        assert "Did you mean port?" in done.stderr


def test_an_environment_file_that_changed_is_told_by_the_unit_s_own_reload(tmp_path):
    unit = {"INVOCATION_ID": "0123456789abcdef0123456789abcdef"}
    with Daemon(tmp_path / "s", "--port", "0", environ={**unit, "MCPD_LOG_LEVEL": "info"}) as one:
        one.wait_for("listening on")
        told = one.reload({**unit, "MCPD_LOG_LEVEL": "debug", "JWT_SECRET_KEY": ONE}).stderr
        assert "in force after a restart: JWT_SECRET_KEY, MCPD_LOG_LEVEL" in told
        assert "set otherwise" not in one.reload({"MCPD_LOG_LEVEL": "debug"}).stderr


def test_a_new_certificate_is_told_by_its_fingerprint(tmp_path):
    cert, key = certificate(tmp_path, "one")
    other_cert, other_key = certificate(tmp_path, "two")
    flags = ("--port", "0", "--tls-certificate", str(cert), "--tls-key", str(key))
    with Daemon(tmp_path / "s", *flags) as daemon:
        daemon.wait_for("listening on")
        assert re.search("certificate [0-9a-f]{16}: unchanged", daemon.reload().stderr)
        key.write_text("broken")
        assert daemon.reload().returncode == 1
        cert.write_bytes(other_cert.read_bytes())
        key.write_bytes(other_key.read_bytes())
        done = subprocess.run(
            ["openssl", "x509", "-in", str(other_cert), "-noout", "-fingerprint", "-sha256"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        fingerprint = done.stdout.partition("=")[2].strip().replace(":", "").lower()
        assert f"certificate {fingerprint[:16]}: new" in daemon.reload().stderr


def test_all_workers_answer_before_a_reload_is_done(tmp_path, secrets, redis):
    flags = ("--workers", "2", "--store", fresh(redis), "--jwt-secret-file", str(secrets))
    with Daemon(tmp_path / "s", "--port", "0", *flags) as daemon:
        daemon.wait_for("listening on")
        secrets.write_text(f"{OTHER}\n{ONE}\n")
        done = daemon.reload()
        assert (done.returncode, f"new: {key_id(OTHER)}" in done.stderr) == (0, True), done
        daemon.wait_for("(?s)(reloaded: .*){3}")  # the supervisor, and both workers
        secrets.write_text("short\n")
        assert daemon.reload().returncode == 1
        assert daemon.text().count("reload failed") <= 1  # no worker was told
        (worker, _) = children_of(daemon.process.pid)
        secrets.write_text(f"{ONE}\n")
        os.kill(worker, signal.SIGSTOP)
        try:
            done = daemon.reload()
        finally:
            os.kill(worker, signal.SIGCONT)
        assert done.returncode == 1
        assert f"reload failed in workers {worker}" in done.stderr


def test_there_is_nothing_to_reload(tmp_path):
    with Daemon(tmp_path / "s", "--port", "0") as daemon:
        daemon.wait_for("listening on")
        daemon.send(signal.SIGKILL)
        daemon.wait()
        done = daemon.reload()
        assert done.returncode == 78
        assert f"No server with process id {daemon.process.pid}" in done.stderr
