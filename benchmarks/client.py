"""The little HTTP that the benchmark itself speaks, with the standard library alone."""

import http.client
import json
import socket
import time
from typing import Any

from benchmarks.contestants import Contestant

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
MODERN = {
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "add",
}


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def headers(contestant: Contestant, **more: str) -> dict[str, str]:
    """What every request carries."""
    given = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    if contestant.token:
        given["Authorization"] = f"Bearer {contestant.token}"
    return given


def call(a: int, b: int, *, modern: bool, request_id: int = 1) -> str:
    """A tools/call message."""
    params: dict[str, Any] = {"name": "add", "arguments": {"a": a, "b": b}}
    if modern:
        params["_meta"] = META
    return json.dumps(
        {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}
    )


def post(
    contestant: Contestant, body: str, given: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    """One request on its own connection."""
    connection = http.client.HTTPConnection("127.0.0.1", contestant.port, timeout=10)
    try:
        connection.request("POST", contestant.path, body, given)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, response.read()
    finally:
        connection.close()


def open_session(contestant: Contestant) -> dict[str, str]:
    """Initialize with 2025-06-18; returns the headers of requests in the session."""
    params = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    }
    message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    status, found, body = post(contestant, json.dumps(message), headers(contestant))
    if contestant.name == "floor":
        return headers(contestant, MCP_Protocol_Version="2025-06-18", Mcp_Session_Id="0" * 36)
    assert status == 200, body
    session = headers(
        contestant, MCP_Protocol_Version="2025-06-18", Mcp_Session_Id=found["mcp-session-id"]
    )
    done = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert post(contestant, json.dumps(done), session)[0] == 202
    return session


def wait_for_answer(contestant: Contestant, *, limit_s: float = 30.0) -> None:
    """Until the first tools/call is answered."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            given = {**headers(contestant), **MODERN}
            status, _, body = post(contestant, call(1, 2, modern=True), given)
            assert status == 200, body
            return
        except OSError:
            time.sleep(0.002)
    raise SystemExit(f"{contestant.name} did not start")


def open_stream(contestant: Contestant, given: dict[str, str]) -> socket.socket:
    """A GET stream, left open."""
    sock = socket.create_connection(("127.0.0.1", contestant.port))
    lines = [f"GET {contestant.path} HTTP/1.1", f"Host: 127.0.0.1:{contestant.port}"]
    lines += [f"{name}: {value}" for name, value in given.items()]
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    answer = sock.recv(4096)
    assert b" 200 " in answer, answer
    return sock
