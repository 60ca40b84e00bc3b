"""The app that mcpd serves in the benchmark; sdk.py and fastmcp_server.py have the same tools."""

from dataclasses import dataclass

from mcpd import App, Context

STEPS = 10
BIG = "x" * (1024 * 1024)
app = App("bench", version="1")
many = App("many", version="1")


@dataclass
class Answer:
    sure: bool


@app.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@app.tool(idempotent=True)
async def count(a: int, b: int, ctx: Context) -> int:
    """Add two numbers, and tell of ten steps."""
    for step in range(1, STEPS + 1):
        await ctx.report_progress(step, STEPS)
    return a + b


@app.tool
async def measure(text: str) -> int:
    """Count the characters of a text."""
    return len(text)


@app.tool
async def produce() -> str:
    """Return a text of 1 MiB."""
    return BIG


@app.tool
async def ask(ctx: Context) -> str:
    """Ask the user one question."""
    answer = await ctx.elicit("Are you sure?", Answer)
    return "yes" if answer.content is not None and answer.content.sure else "no"


@app.resource("bench://value")
async def value() -> str:
    """A value that changes."""
    return "1"


@app.tool
async def change() -> str:
    """Tell all listeners that the value changed."""
    app.resource_updated("bench://value")
    return "told"


def _declare(number: int) -> None:
    @many.tool(name=f"tool_{number:03}")
    async def tool(query: str, limit: int = 10, exact: bool = False) -> list[str]:
        """Look something up, with a limit and a switch."""
        return [query] * limit if exact else []


for _number in range(200):
    _declare(_number)
