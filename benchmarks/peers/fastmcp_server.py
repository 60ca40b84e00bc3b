"""FastMCP with its fastest settings: uvloop, httptools, no auth, no access log.

fastmcp_server.py PORT json|sse one|many
"""

import sys

from fastmcp import Context, FastMCP

STEPS = 10
BIG = "x" * (1024 * 1024)
server = FastMCP("bench", version="1")
many = FastMCP("many", version="1")


@server.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool
async def count(a: int, b: int, ctx: Context) -> int:
    """Add two numbers, and tell of ten steps."""
    for step in range(1, STEPS + 1):
        await ctx.report_progress(step, STEPS)
    return a + b


@server.tool
async def measure(text: str) -> int:
    """Count the characters of a text."""
    return len(text)


@server.tool
async def produce() -> str:
    """Return a text of 1 MiB."""
    return BIG


def _declare(number: int) -> None:
    @many.tool(name=f"tool_{number:03}")
    async def tool(query: str, limit: int = 10, exact: bool = False) -> list[str]:
        """Look something up, with a limit and a switch."""
        return [query] * limit if exact else []


for _number in range(200):
    _declare(_number)


if __name__ == "__main__":
    (many if sys.argv[3] == "many" else server).run(
        transport="http",
        port=int(sys.argv[1]),
        path="/mcp",
        show_banner=False,
        json_response=sys.argv[2] == "json",
        log_level="error",
        uvicorn_config={
            "access_log": False,
            "loop": "uvloop",
            "http": "httptools",
            "backlog": 4096,
        },
    )
