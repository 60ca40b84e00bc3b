"""Messages and requests as canned bytes, and the few requests that set a scenario up."""

import http.client
import json
import socket
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.load import Exchange, Receiver, connect

MODERN_VERSION = "2026-07-28"
SESSION_VERSION = "2025-06-18"
START_S = 30.0
FLOOR_SESSION = "0" * 36

Headers = Mapping[str, str]


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def headers(contestant: Contestant, more: Headers | None = None) -> dict[str, str]:
    """What every request carries."""
    given = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        **(more or {}),
    }
    if contestant.token:
        given["Authorization"] = f"Bearer {contestant.token}"
    return given


def modern_headers(contestant: Contestant, method: str, name: str = "") -> dict[str, str]:
    """Of a request of 2026-07-28."""
    more = {"MCP-Protocol-Version": MODERN_VERSION, "Mcp-Method": method}
    return headers(contestant, {**more, "Mcp-Name": name} if name else more)


def message(
    number: int, method: str, params: Mapping[str, Any], *, modern: bool, **capabilities: Any
) -> bytes:
    """A JSON-RPC request; one of 2026-07-28 says who the client is."""
    params = dict(params)
    if modern:
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": capabilities,
            **params.get("_meta", {}),
        }
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()


def post_bytes(contestant: Contestant, body: bytes, given: Headers) -> bytes:
    """A POST as it is on the wire."""
    return _head("POST", contestant, {**given, "Content-Length": str(len(body))}) + body


def _head(method: str, contestant: Contestant, given: Headers) -> bytes:
    lines = [f"{method} {contestant.path} HTTP/1.1", f"Host: 127.0.0.1:{contestant.port}"]
    lines += [f"{name}: {value}" for name, value in given.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(contestant: Contestant, body: bytes, given: Headers) -> tuple[int, dict[str, str], bytes]:
    """One request on its own connection: status, header fields, body."""
    connection = http.client.HTTPConnection("127.0.0.1", contestant.port, timeout=START_S)
    try:
        connection.request("POST", contestant.path, body, dict(given))
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return response.status, fields, response.read()
    finally:
        connection.close()


def open_session(
    contestant: Contestant, capabilities: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Initialize; the header fields of requests in the session."""
    more = {"MCP-Protocol-Version": SESSION_VERSION, "Mcp-Session-Id": FLOOR_SESSION}
    if contestant.is_floor:
        return headers(contestant, more)
    params = {
        "protocolVersion": SESSION_VERSION,
        "capabilities": capabilities or {},
        "clientInfo": {"name": "bench", "version": "1"},
    }
    hello = message(0, "initialize", params, modern=False)
    status, fields, body = post(contestant, hello, headers(contestant))
    assert status == 200, body
    more["Mcp-Session-Id"] = fields["mcp-session-id"]
    done = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
    assert post(contestant, done, headers(contestant, more))[0] == 202
    return headers(contestant, more)


def ask(contestant: Contestant, exchange: Exchange) -> list[bytes]:
    """Make one exchange on its own connection; the answer, in the pieces that came."""
    with connect(contestant.port) as sock:
        sock.sendall(exchange.request)
        receiver, pieces = Receiver(), []
        while True:
            piece = sock.recv(65536)
            if not piece:
                raise ConnectionResetError("closed before it answered")
            pieces.append(piece)
            if receiver.receive(piece):
                assert exchange.verify(receiver.data), bytes(receiver.data[:2000])
                return pieces


def wait_for_answer(contestant: Contestant, exchange: Exchange | None = None) -> None:
    """Until a server that was started just now answers; or only takes connections."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if exchange is None:
                connect(contestant.port).close()
            else:
                ask(contestant, exchange)
            return
        except OSError:
            time.sleep(0.002)
    raise SystemExit(f"{contestant.name} did not start")


def open_stream(contestant: Contestant, given: Headers) -> socket.socket:
    """A GET stream, left open."""
    sock = connect(contestant.port)
    sock.sendall(_head("GET", contestant, given))
    answer = sock.recv(4096)
    assert b" 200 " in answer, answer
    return sock
