"""The official Python SDK with its fastest settings: uvloop, httptools, no auth, no access log.

sdk.py PORT json|sse one|many
"""

import sys
from typing import Annotated

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel

STEPS = 10
BIG = "x" * (1024 * 1024)
server = MCPServer("bench", version="1", log_level="ERROR")
many = MCPServer("many", version="1", log_level="ERROR")


class Answer(BaseModel):
    sure: bool


@server.tool()
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
async def count(a: int, b: int, ctx: Context) -> int:
    """Add two numbers, and tell of ten steps."""
    for step in range(1, STEPS + 1):
        await ctx.report_progress(step, STEPS)
    return a + b


@server.tool()
async def measure(text: str) -> int:
    """Count the characters of a text."""
    return len(text)


@server.tool()
async def produce() -> str:
    """Return a text of 1 MiB."""
    return BIG


def question() -> Elicit[Answer]:
    return Elicit("Are you sure?", Answer)


@server.tool()
async def ask(answer: Annotated[Answer, Resolve(question)]) -> str:
    """Ask the user one question."""
    return "yes" if answer.sure else "no"


@server.resource("bench://value")
async def value() -> str:
    """A value that changes."""
    return "1"


@server.tool()
async def change(ctx: Context) -> str:
    """Tell all listeners that the value changed."""
    await ctx.notify_resource_updated("bench://value")
    return "told"


def _declare(number: int) -> None:
    @many.tool(name=f"tool_{number:03}")
    async def tool(query: str, limit: int = 10, exact: bool = False) -> list[str]:
        """Look something up, with a limit and a switch."""
        return [query] * limit if exact else []


for _number in range(200):
    _declare(_number)


if __name__ == "__main__":
    uvicorn.run(
        (many if sys.argv[3] == "many" else server).streamable_http_app(
            json_response=sys.argv[2] == "json", max_sessions=None
        ),
        port=int(sys.argv[1]),
        log_level="error",
        access_log=False,
        loop="uvloop",
        http="httptools",
        backlog=4096,
    )
