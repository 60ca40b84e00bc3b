"""Signals, exit codes, listeners, logs: the daemon as an init system and an operator see it."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys

import pytest
import trio

from tests.end_to_end.daemon import Daemon, free_port
from tests.in_process import META, HandshakeClient, modern, modern_headers
from tests.peer import Peer

pytestmark = pytest.mark.slow

SLOW_APP = """
import trio
from mcpd import App, Context
app = App("slow")

@app.tool
async def nap(seconds: float, ctx: Context) -> str:
    await trio.sleep(seconds)
    return "rested"
"""


@pytest.fixture
def slow_app(tmp_path):
    path = tmp_path / "slow_app.py"
    path.write_text(SLOW_APP)
    return f"{path}:app"


async def begin_nap(daemon: Daemon, seconds: float) -> Peer:
    peer = await daemon.connect(token=daemon.token())
    params = {"name": "nap", "arguments": {"seconds": seconds}, "_meta": META}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    await peer.begin("POST", "/mcp/", json=message, headers=modern_headers("tools/call", "nap"))
    await trio.sleep(0.3)
    return peer


async def test_sigterm_lets_a_running_call_finish_and_ends_streams(tmp_path, slow_app):
    with Daemon(tmp_path / "s", "--port", "0", "--app", slow_app) as daemon:
        session = HandshakeClient(await daemon.connect(token=daemon.token()))
        await session.open()
        stream = await daemon.connect(token=daemon.token())
        await stream.begin("GET", "/mcp/", headers=session.headers)
        await stream.head()
        peer = await begin_nap(daemon, 1.5)
        daemon.send(signal.SIGTERM)
        assert await stream.piece() == b"id: session.0\nretry: 1000\ndata: \n\n"
        assert await stream.piece() is None
        reply = await peer.reply()
        assert reply.json()["result"]["content"][0]["text"] == "rested"
        assert daemon.wait() == 0
        with pytest.raises(OSError, match=r"could not connect|refused|all attempts"):
            await daemon.connect()
        for one in (session.peer, stream, peer):
            await trio.aclose_forcefully(one.stream)


async def test_a_drain_is_bounded_and_a_second_signal_ends_it_at_once(tmp_path, slow_app):
    for flags, again in ((("--drain-timeout-s", "0.5"), False), ((), True)):
        with Daemon(tmp_path / "s", "--port", "0", "--app", slow_app, *flags) as daemon:
            peer = await begin_nap(daemon, 60)
            daemon.send(signal.SIGTERM)
            if again:
                daemon.wait_for("draining")
                daemon.send(signal.SIGTERM)
            assert daemon.wait(10) == 0
            await trio.aclose_forcefully(peer.stream)


async def test_sighup_rotates_secrets_and_a_bad_file_keeps_the_old_ones(tmp_path):
    secrets = tmp_path / "secrets"
    secrets.write_text("a" * 40 + "\n")
    flags = ("--jwt-secret-file", str(secrets))
    with Daemon(tmp_path / "s", "--port", "0", *flags) as daemon:
        peer = await daemon.connect(token=daemon.token(*flags))

        async def status() -> int:
            return (await modern(peer, "tools/list")).status

        assert await status() == 200
        secrets.write_text("short\n")
        daemon.send(signal.SIGHUP)
        daemon.wait_for("reload failed, the old settings stay: .*at least 32")
        assert await status() == 200
        secrets.write_text("b" * 40 + "\n" + "a" * 40 + "\n")
        daemon.send(signal.SIGHUP)
        daemon.wait_for("reloaded: ")
        assert await status() == 200
        new = await daemon.connect(token=daemon.token(*flags))
        assert (await modern(new, "tools/list")).status == 200
        secrets.write_text("b" * 40 + "\n")
        daemon.send(signal.SIGHUP)
        daemon.wait_for("(?s)reloaded: .*reloaded: ")
        assert await status() == 401
        for one in (peer, new):
            await one.stream.aclose()


def certificate(folder, name: str):
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


async def test_tls_and_a_certificate_that_is_replaced(tmp_path):
    cert, key = certificate(tmp_path, "one")
    other_cert, other_key = certificate(tmp_path, "two")
    flags = ("--port", "0", "--tls-certificate", str(cert), "--tls-key", str(key))
    with Daemon(tmp_path / "s", *flags) as daemon:
        trust = ssl.create_default_context(cafile=str(cert))
        peer = await daemon.connect(token=daemon.token(), tls=trust)
        assert (await modern(peer, "tools/list")).status == 200
        registered = await peer.request("POST", "/register", json={})
        assert registered.json()["endpoints"]["mcp"].startswith("https://localhost:")
        key.write_text("broken")
        daemon.send(signal.SIGHUP)
        daemon.wait_for("reload failed, the old settings stay")
        cert.write_bytes(other_cert.read_bytes())
        key.write_bytes(other_key.read_bytes())
        daemon.send(signal.SIGHUP)
        daemon.wait_for("reloaded: ")
        assert (await modern(peer, "tools/list")).status == 200
        trust_other = ssl.create_default_context(cafile=str(other_cert))
        renewed = await daemon.connect(tls=trust_other)
        assert (await renewed.request("GET", "/health")).status == 200
        for one in (peer, renewed):
            await trio.aclose_forcefully(one.stream)
        assert daemon.stop() == 0


async def test_a_unix_socket_and_one_left_behind(tmp_path):
    path = tmp_path / "mcpd.sock"
    for _ in range(2):  # the second finds the socket of the killed first
        with Daemon(tmp_path / "s", "--unix", str(path)) as daemon:
            daemon.wait_for("listening on unix:")
            peer = Peer(await trio.open_unix_socket(str(path)))
            assert (await peer.request("GET", "/health")).status == 200
            taken = Daemon(tmp_path / "s2", "--unix", str(path))
            assert taken.wait() == 75
            assert "Another mcpd listens" in taken.text()
            taken.kill()
            await peer.stream.aclose()
    with Daemon(tmp_path / "s", "--unix", str(path)) as daemon:
        daemon.wait_for("listening on unix:")
        assert daemon.stop() == 0
        assert not path.exists()


async def test_ipv6_is_listened_on(tmp_path):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with Daemon(tmp_path / "s", "--host", "::1", "--port", "0") as daemon:
        port = daemon.port
        peer = Peer(await trio.open_tcp_stream("::1", port), host=f"[::1]:{port}")
        assert (await peer.request("GET", "/health")).status == 200
        await peer.stream.aclose()


def test_exit_codes_tell_whether_a_restart_helps(tmp_path):
    with Daemon(tmp_path / "a", "--port", "0") as first:
        taken = Daemon(tmp_path / "b", "--port", str(first.port))
        assert taken.wait() == 75
        assert "Another mcpd listens" in taken.text()
        taken.kill()
    corrupt = tmp_path / "c"
    corrupt.mkdir()
    (corrupt / "sessions.sqlite").write_bytes(b"a shopping list" * 500)
    broken = Daemon(corrupt, "--port", "0")
    assert broken.wait() == 78
    assert "not a database" in broken.text()
    assert "Move" in broken.text()
    assert "Traceback" not in broken.text()
    broken.kill()


async def test_nothing_secret_is_ever_logged(tmp_path):
    flags = ("--port", "0", "--log-format", "json", "--log-level", "debug")
    with Daemon(tmp_path / "s", *flags) as daemon:
        token = daemon.token()
        peer = await daemon.connect(token=token)
        assert (await modern(peer, "tools/list")).status == 200
        await peer.request("POST", f"/mcp/?access_token={token}", json={})
        forged = await daemon.connect(token=token[:-4] + "AAAA")
        await modern(forged, "tools/list")
        session = HandshakeClient(await daemon.connect(token=token))
        await session.open()
        await session.call("tools/call", {"name": "manage_task", "arguments": {"action": "list"}})
        for one in (peer, forged, session.peer):
            await one.stream.aclose()
        assert daemon.stop() == 0
        text = daemon.text()
        secret = (tmp_path / "s" / "jwt-secret").read_text().strip()
        for part in [*token.split("."), secret, token[-20:]]:
            assert part not in text
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        served = [line for line in lines if line["logger"] == "mcpd.access"]
        assert {"status", "ms", "peer", "request"} <= set(served[0])
        assert any(line.get("session") == session.id for line in served)
        assert any(line.get("method") == "tools/call" for line in served)


async def test_what_is_printed_at_start_can_be_pasted(tmp_path):
    with Daemon(tmp_path / "s", "--port", "0") as daemon:
        daemon.wait_for("client-config claude-code")
        text = daemon.text()
        token_line = next(line for line in text.splitlines() if "TOKEN=$(" in line)
        curl = text[text.index("  curl ") : text.index("Configure a client")]
        done = subprocess.run(
            ["bash", "-c", f"{token_line}\n{curl}"], capture_output=True, text=True, check=True
        )
        assert '"manage_task"' in done.stdout


async def test_slow_and_idle_peers_leave_others_alone(tmp_path):
    """Hundreds that send a byte now and then, or never read, while one is served."""
    with Daemon(tmp_path / "s", "--port", "0", "--head-timeout-s", "2") as daemon:
        busy = await daemon.connect(token=daemon.token())
        assert (await modern(busy, "tools/list")).status == 200  # it is idle, and not fresh, by now
        slow = []
        for number in range(300):
            peer = await daemon.connect()
            await peer.send(b"POST /mcp/ HT" if number % 2 else b"")
            slow.append(peer)
        for _ in range(200):
            assert (await modern(busy, "tools/list")).status == 200
        cut = 0
        with trio.fail_after(60):
            for peer in slow:
                data = await peer.raw_reply()
                cut += data.startswith(b"HTTP/1.1 408 ")
                await trio.aclose_forcefully(peer.stream)
        assert cut == 150
        assert (await modern(busy, "tools/list")).status == 200
        await busy.stream.aclose()


def test_a_port_of_ones_own(tmp_path):
    port = free_port()
    with Daemon(tmp_path / "s", "--port", str(port), environ={"MCPD_LOG_LEVEL": "info"}) as daemon:
        assert daemon.port == port
        assert os.stat(tmp_path / "s" / "jwt-secret").st_mode & 0o777 == 0o600
    wrong = subprocess.run(
        [sys.executable, "-m", "mcpd", "serve"],
        env={**os.environ, "MCPD_PROT": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert wrong.returncode == 78
    assert "Did you mean MCPD_PORT?" in wrong.stderr
