"""A small app with something of everything. All of it is async: fuzzing runs on virtual time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import trio
from msgspec import Meta

from mcpd import App, Context, Elicit


@dataclass
class Form:
    """What is asked."""

    name: str


def make_app() -> App:  # noqa: C901 - one function a tool
    """The app, fresh: a server has one of its own."""
    app = App("fuzzed", version="1")

    @app.tool(read_only=True)
    async def add(a: int, b: int = 1) -> int:
        """Add."""
        return a + b

    @app.tool
    async def ask(ctx: Context) -> str:
        """Ask the user."""
        (answer,) = await ctx.ask(Elicit("Who?", Form))
        return str(answer.content and answer.content.name)

    @app.tool
    async def count(to: Annotated[int, Meta(ge=0, le=9)], ctx: Context) -> int:
        """Count, and say so."""
        for number in range(to):
            await ctx.report_progress(number, to, "on")
            await ctx.log("info", {"n": number})
            await trio.sleep(0.5)
        return to

    @app.tool(task="optional")
    async def late(ctx: Context, seconds: Annotated[float, Meta(ge=0, le=5)] = 1.5) -> str:
        """Work for a while."""
        await trio.sleep(seconds)
        return "done"

    @app.tool
    async def place(
        region: Annotated[str, Meta(extra_json_schema={"x-mcp-header": "Region"})], n: int = 0
    ) -> dict[str, Any]:
        """A parameter that is mirrored."""
        return {"region": region, "n": n}

    @app.resource("note://{name}", mime_type="text/plain")
    async def note(name: str) -> str:
        """A note."""
        return name

    @app.resource("note://a", mime_type="text/plain")
    async def first() -> str:
        """The first note."""
        return "a"

    @app.prompt
    async def greet(who: str) -> str:
        """Greet."""
        return f"Hello {who}"

    @app.completion("greet", "who")
    async def complete(value: str, others: Mapping[str, str]) -> list[str]:
        """Two names."""
        return [name for name in ("ada", "alan") if name.startswith(value)]

    return app
