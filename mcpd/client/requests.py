"""Requests as clients make them, in both eras: bodies, and the headers that go with them. Pure."""

from typing import Any

from mcpd.mcp.envelope.headers import HEADER_METHOD, HEADER_VERSION
from mcpd.mcp.envelope.params import META_CAPABILITIES, META_CLIENT_INFO, META_VERSION
from mcpd.version import __version__

Pairs = list[tuple[bytes, bytes]]


def initialize(name: str, version: str, *, request_id: int = 0) -> dict[str, Any]:
    """The request that begins a session (MCP, basic/lifecycle).

    Args:
        name: of the client.
        version: of the protocol.
    """
    params = {
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": {"name": name, "version": __version__},
    }
    return {"jsonrpc": "2.0", "id": request_id, "method": "initialize", "params": params}


def modern(
    name: str, method: str, params: dict[str, Any], version: str, *, request_id: int = 1
) -> tuple[dict[str, Any], Pairs]:
    """A request that carries its own metadata (2026-07-28, streamable-http), and its headers.

    Args:
        name: of the client. Some servers refuse a request without it.
        version: of the protocol.
    """
    meta = {
        META_VERSION: version,
        META_CLIENT_INFO: {"name": name, "version": __version__},
        META_CAPABILITIES: {},
    }
    body = {
        "jsonrpc": "2.0",
        "id": request_id,
        "method": method,
        "params": {**params, "_meta": meta},
    }
    headers = [
        (HEADER_VERSION, version.encode("ascii")),
        (HEADER_METHOD, method.encode("ascii")),
    ]
    return body, headers
