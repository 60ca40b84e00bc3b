"""The app that mcpd serves in the benchmark."""

from mcpd import App

app = App("bench", version="1")


@app.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
