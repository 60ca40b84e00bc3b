"""mcpd doctor at a server in a good and in bad configurations, with a real nginx before it."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

import jwt
import pytest

from mcpd.auth.tokens import create_token
from mcpd.config import Config
from mcpd.doctor.findings import find
from mcpd.doctor.probes import Doctor
from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin
from mcpd.server.jwt_secrets import find_secrets
from tests.end_to_end.daemon import Daemon, free_port, need

pytestmark = pytest.mark.slow
GOOD = """
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Connection "";
    proxy_buffering off;
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp("doctor") / "s", "--port", "0") as daemon:
        daemon.wait_for("listening on")
        yield daemon


@contextmanager
def nginx(folder, daemon, location, *, more=""):
    """A proxy before the daemon; its port."""
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    need(os.path.exists(binary), "nginx")
    port = free_port()
    (folder / "nginx.conf").write_text(f"""
        daemon off; master_process off; worker_processes 1; error_log {folder}/error.log;
        pid {folder}/nginx.pid;
        events {{ worker_connections 64; }}
        http {{
            access_log off;
            client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
            fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
            server {{
                listen 127.0.0.1:{port};
                location / {{ proxy_pass http://127.0.0.1:{daemon.port}; {location} }}
                {more}
            }}
        }}
    """)
    process = subprocess.Popen(
        [binary, "-p", str(folder), "-c", str(folder / "nginx.conf")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port, process):
    import socket

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("nginx did not start")


def doctor(port, token="", *flags):
    done = subprocess.run(
        [sys.executable, "-m", "mcpd", "doctor", f"http://127.0.0.1:{port}/mcp/", *flags],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, **({"MCPD_TOKEN": token} if token else {})},
    )  # fmt: skip
    assert done.stderr == ""
    assert not token or token not in done.stdout
    return done.returncode, done.stdout


def verdict(text, client):
    (line,) = [line for line in text.splitlines() if line.startswith(f"  {client} ")]
    return line.removeprefix(f"  {client}").strip()


def test_a_good_server_works_with_every_client(daemon):
    code, text = doctor(daemon.port, daemon.token())
    assert code == 0, text
    assert "speaks 2026-07-28 and 2025-11-25" in text
    for client in ("Claude Code", "Cursor", "VS Code", "mcp-remote", "Python SDK"):
        assert verdict(text, client) == "works", text
    assert verdict(text, "claude.ai") == "does not work: see 1"  # it comes from the internet
    assert "2. " not in text
    assert "127.0.0.1 means something on this machine" in text


def test_a_good_proxy_changes_no_verdict(daemon, tmp_path):
    with nginx(tmp_path, daemon, GOOD) as port:
        code, text = doctor(port, daemon.token())
    assert code == 0, text
    assert verdict(text, "Claude Code") == "works"


async def ask_from_elsewhere(port):
    """As from another machine, where the proxy has a name."""
    origin, target = resolve_origin(f"http://127.0.0.1:{port}/mcp/")
    async with HttpClient(origin) as client:
        facts = await Doctor(client, "http://mcp.example.org/mcp/", target, "").ask()
    return [finding.text for finding in find(facts, time.time())]


async def test_a_proxy_that_adds_no_header_opens_the_list_of_clients(daemon, tmp_path):
    listed = "/registrations lists the registered clients"
    silent = GOOD.replace("$http_host", "localhost")
    with nginx(tmp_path, daemon, silent) as port:
        assert any(text.startswith(listed) for text in await ask_from_elsewhere(port))
    flags = ("--port", "0", "--public-url", "http://mcp.example.org")
    with Daemon(tmp_path / "s", *flags) as closed, nginx(tmp_path, closed, silent) as port:
        assert not any(text.startswith(listed) for text in await ask_from_elsewhere(port))


def test_a_proxy_that_passes_the_wrong_host(daemon, tmp_path):
    wrong = GOOD.replace("$http_host", "mcp.internal.example")
    with nginx(tmp_path, daemon, wrong) as port:
        code, text = doctor(port, daemon.token())
    assert code == 1
    assert "refused by the name it was sent to (421)" in text
    assert "proxy_set_header Host" in text
    assert "--allow-host" in text
    assert verdict(text, "Cursor").startswith("does not work: see 1")


def test_a_token_that_expired(daemon):
    token = signed(daemon, now=int(time.time()) - 7200, ttl_s=3600)
    code, text = doctor(daemon.port, token)
    assert code == 1
    assert "The token expired 36" in text
    assert "mcpd token create" in text


def test_clocks_that_differ_are_told(daemon):
    begins = int(time.time()) + 6000
    secret = find_secrets(Config(state_dir=daemon.state_dir), {}, create=False).secrets[0]
    claims = jwt.decode(signed(daemon, now=begins, ttl_s=3600), secret.reveal(), ["HS256"],
                        options={"verify_iat": False})  # fmt: skip
    token = jwt.encode({**claims, "nbf": begins}, secret.reveal(), algorithm="HS256")
    code, text = doctor(daemon.port, token)
    assert code == 1
    assert re.search(r"The token is of the future: it begins 5[0-9]{3}|600[0-9]", text), text
    assert "NTP" in text
    assert "--jwt-leeway-s" in text


def test_a_missing_token_is_told(daemon):
    code, text = doctor(daemon.port)
    assert code == 1
    assert "wants a token, and none was given" in text


def test_oauth_that_is_half_on(daemon, tmp_path):
    half = """
        location /.well-known/oauth-protected-resource {
            default_type application/json;
            return 200 '{"resource":"http://$http_host/mcp/"}';
        }
    """
    with nginx(tmp_path, daemon, GOOD, more=half) as port:
        code, text = doctor(port, daemon.token())
    assert code == 1
    assert "OAuth is half on" in text
    assert "it names no authorization_servers" in text
    assert verdict(text, "Cursor").startswith("does not work")  # it looks before it connects
    assert verdict(text, "VS Code").startswith("works, with limits")
    assert verdict(text, "Python SDK") == "works"


def test_oauth_that_is_whole(daemon, tmp_path):
    """The documents are nginx's; the token that mcpd wants would come from there."""
    at = "http://$http_host"
    metadata = {
        "issuer": at,
        "authorization_endpoint": f"{at}/authorize",
        "token_endpoint": f"{at}/token",
        "registration_endpoint": f"{at}/clients",
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
    }
    resource = {"resource": f"{at}/mcp/", "authorization_servers": [at]}
    more = f"""
        default_type application/json;
        location /.well-known/oauth-protected-resource/ {{ return 200 '{json.dumps(resource)}'; }}
        location = /.well-known/oauth-authorization-server {{
            return 200 '{json.dumps(metadata)}';
        }}
    """
    with nginx(tmp_path, daemon, GOOD, more=more) as port:
        code, text = doctor(port)
        assert code == 1
        assert verdict(text, "VS Code") == "works after login: see 1"
        assert verdict(text, "Python SDK") == "works after login: see 1"
        assert verdict(text, "mcpd bridge") == "does not work: see 1"
        code, text = doctor(port, daemon.token())
    assert code == 0, text
    assert verdict(text, "VS Code") == "works"
    assert verdict(text, "mcpd bridge") == "works"


def test_a_catch_all_page_that_answers_the_probes(daemon, tmp_path):
    page = "location /.well-known/ { default_type text/html; return 200 '<h1>hello</h1>'; }"
    with nginx(tmp_path, daemon, GOOD, more=page) as port:
        code, text = doctor(port, daemon.token())
    assert code == 1
    assert "holds no metadata" in text


def test_events_that_nginx_holds_back(daemon, tmp_path):
    buffered = GOOD.replace(
        "proxy_buffering off;", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"
    )
    with nginx(tmp_path, daemon, buffered) as port:
        code, text = doctor(port, daemon.token())
    assert code == 0, text  # clients connect, and calls are answered
    assert "Events are held back" in text
    assert "proxy_buffering off" in text  # nginx shows itself
    assert verdict(text, "Claude Code").startswith("works, with limits")


def test_a_server_that_is_not_there(unused_port):
    code, text = doctor(unused_port)
    assert code == 1
    assert "does not answer: connection refused" in text


def signed(daemon, **times):
    secret = find_secrets(Config(state_dir=daemon.state_dir), {}, create=False).secrets[0]
    return create_token(
        secret,
        subject="alice",
        scopes=("execute:mcp",),
        token_type="access",
        issuer=None,
        audience=None,
        **times,
    )
