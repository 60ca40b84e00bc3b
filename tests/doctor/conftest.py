"""The doctor at a scripted server."""

import pytest
import trio

from mcpd.doctor.findings import find
from mcpd.doctor.probes import Doctor
from mcpd.http.client import HttpClient
from mcpd.http.origin import resolve_origin


@pytest.fixture
async def seen_of(nursery):
    """Facts and findings of a server."""

    async def ask(server, path="/mcp", token=""):
        if not server.scripted.port:
            await nursery.start(server.scripted.run)
        url = server.scripted.url.replace("/mcp", path)
        origin, target = resolve_origin(url)
        async with HttpClient(origin) as client:
            with trio.fail_after(60):
                facts = await Doctor(client, url, target, token).ask()
        return facts, find(facts, 0.0, token)

    return ask
