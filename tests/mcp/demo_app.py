"""The app that the protocol tests serve."""

from contextlib import asynccontextmanager
from typing import Annotated, Literal

import trio
from msgspec import Meta

from mcpd import App, Audio, Context, Icon, ResourceLink, Text, ToolError, ToolResult


def make_app() -> App:  # noqa: C901 - one function a tool
    @asynccontextmanager
    async def lifespan(app: App):
        yield {"cancelled": [], "finished": []}

    app = App("demo", version="1.2", title="Demo", instructions="Be kind.", lifespan=lifespan,
              icons=[Icon("https://example.org/i.png")])  # fmt: skip

    @app.tool(title="Add", read_only=True, icons=[Icon("https://example.org/a.png")], meta={"x": 1})
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @app.tool
    def shout(text: str, mode: Literal["up", "down"] = "up") -> str:
        """In a thread."""
        return text.upper() if mode == "up" else text.lower()

    @app.tool
    async def count(to: Annotated[int, Meta(ge=1)], ctx: Context) -> str:
        async with ctx.progress(to) as step:
            for number in range(to):
                await step(f"step {number}")
                await trio.sleep(0.1)
        return "counted"

    @app.tool
    async def chatter(ctx: Context) -> str:
        for level in ("debug", "info", "warning", "error"):
            await ctx.log(level, {"said": level}, logger="demo")
        return "said"

    @app.tool
    async def slow(ctx: Context, key: str = "k") -> str:
        try:
            await trio.sleep(30)
        except trio.Cancelled:
            ctx.state["cancelled"].append(key)
            raise
        ctx.state["finished"].append(key)
        return "slept"

    @app.tool
    async def who(ctx: Context) -> dict[str, str | None]:
        return {"user": ctx.user, "session": ctx.session_id, "version": ctx.protocol_version,
                "client": str(ctx.client_info.get("name"))}  # fmt: skip

    @app.tool
    async def fail(how: str) -> str:
        if how == "said":
            raise ToolError("The door is locked.")
        if how == "grouped":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_refuse)
        raise RuntimeError("the password is hunter2")

    @app.tool
    async def rich() -> list[Text | Audio | ResourceLink]:
        return [
            Text("hello"),
            Audio.of(b"RIFF", "audio/wav"),
            ResourceLink(uri="note://a", name="a"),
        ]

    @app.tool
    async def full() -> ToolResult:
        return ToolResult([Text("text")], {"n": 1}, meta={"m": 2})

    @app.tool
    async def liar() -> dict[str, int]:
        return {"n": "not a number"}  # type: ignore[dict-item]

    return app


async def _refuse() -> None:
    raise ToolError("Refused in a nursery.")
