"""FastMCP with its fastest settings: JSON answers, no auth, no access log."""

import sys

from fastmcp import FastMCP

server = FastMCP("bench", version="1")


@server.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


if __name__ == "__main__":
    server.run(
        transport="http",
        port=int(sys.argv[1]),
        path="/mcp",
        show_banner=False,
        json_response=True,
        log_level="error",
        uvicorn_config={"access_log": False},
    )
