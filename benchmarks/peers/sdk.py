"""The official Python SDK with its fastest settings: JSON answers, no auth, no access log."""

import sys

import uvicorn
from mcp.server import MCPServer

server = MCPServer("bench", version="1", log_level="ERROR")


@server.tool()
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


if __name__ == "__main__":
    uvicorn.run(
        server.streamable_http_app(json_response=True),
        port=int(sys.argv[1]),
        log_level="error",
        access_log=False,
    )
