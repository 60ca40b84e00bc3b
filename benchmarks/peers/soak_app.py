"""The app of the soak: fast calls, slow streams, questions, tasks."""

from dataclasses import dataclass

import trio

from mcpd import App, Context

app = App("soak", version="1")


@dataclass
class Answer:
    word: str


@app.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@app.tool(idempotent=True)
async def count(key: str, steps: int, pause_s: float, ctx: Context) -> str:
    """Tell of steps, with pauses."""
    for step in range(1, steps + 1):
        await ctx.report_progress(step, steps)
        await trio.sleep(pause_s)
    return f"counted {key}"


@app.tool(idempotent=True)
async def ask(key: str, ctx: Context) -> str:
    """Ask for a word and say it."""
    answer = await ctx.elicit(f"A word for {key}?", Answer)
    return f"{key} {answer.content.word if answer.content else 'nothing'}"


@app.tool(task="optional", idempotent=True)
async def work(key: str, ctx: Context) -> str:
    """Work for a moment, as a task where the client takes tasks."""
    for step in range(5):
        await ctx.report_progress(step + 1, 5)
        await trio.sleep(0.05)
    return f"worked {key}"
