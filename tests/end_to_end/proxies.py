"""Real reverse proxies in front of a server, configured as their manuals have it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.daemon import free_port, need

START_S = 60.0
HAPROXY = """
global
    maxconn 1000
defaults
    mode http
    timeout connect 20s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend public
    bind 127.0.0.1:{port}
    default_backend mcpd
backend mcpd
    server one 127.0.0.1:{upstream}
"""
NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 500; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream mcpd {{
        server 127.0.0.1:{upstream};
        keepalive 32;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://mcpd;
            proxy_http_version 1.1;
            proxy_set_header Host localhost;
            proxy_set_header Connection "";
        }}
    }}
}}
"""
PROXIES = {
    "haproxy": (HAPROXY, ["-db", "-f"], "/usr/sbin/haproxy"),
    "nginx": (NGINX, ["-g", "daemon off;", "-c"], "/usr/sbin/nginx"),
}


@contextmanager
def proxied(kind: str, folder: Path, upstream: int) -> Iterator[int]:
    """The port of a proxy that keeps its connections to ``upstream`` open and uses them again."""
    template, flags, place = PROXIES[kind]
    binary = shutil.which(kind) or place
    need(os.path.exists(binary), kind)
    port, config = free_port(), folder / f"{kind}.conf"
    config.write_text(template.format(folder=folder, port=port, upstream=upstream))
    process = subprocess.Popen(
        [binary, *flags, str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the proxy did not start")
