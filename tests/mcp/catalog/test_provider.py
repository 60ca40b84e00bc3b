"""A catalog asks no more of a provider than its protocol says."""

from contextlib import asynccontextmanager

import msgspec
import pytest

from mcpd import App
from mcpd.app.content import Text
from mcpd.app.tool import Hints, ToolOutcome
from mcpd.errors import DeclarationError
from mcpd.mcp.catalog.catalog import Catalog
from mcpd.mcp.catalog.provider import Provider
from mcpd.mcp.revisions import V2025_11_25
from tests.in_process import modern, serving


class RemoteTool:
    """As a hosted server would offer one."""

    name, title, description = "distant", None, "Runs somewhere else."
    icons, meta, scopes, task, hints = (), None, (), "forbidden", Hints()
    max_result_bytes = None
    input_schema = {"type": "object", "properties": {"x": {"type": "integer"}}}  # noqa: RUF012
    output_schema = None
    wants_context = False

    async def run(self, arguments, context, threads):
        return ToolOutcome([Text(f"far away: {bytes(arguments).decode()}")])


class Remote:
    """A provider that is no app."""

    name, version, title, instructions, website_url, icons = "remote", "1", None, None, None, ()

    def __init__(self):
        self.tools = {"distant": RemoteTool()}
        self.resources, self.prompts, self.completers = {}, {}, {}
        self.listeners = []

    @asynccontextmanager
    async def running(self):
        self.is_running = True
        yield "the state of the remote"
        self.is_running = False

    def listen(self, listener):
        self.listeners.append(listener)


async def test_a_provider_that_is_no_app_is_listed_and_called(tmp_path):
    app, remote = App("near"), Remote()
    async with serving(tmp_path, [app, remote]) as server:
        assert remote.is_running
        assert server.server.catalog.states[remote] == "the state of the remote"
        listed = await modern(server.user(), "tools/list")
        assert [tool["name"] for tool in listed.json()["result"]["tools"]] == ["distant"]
        params = {"name": "distant", "arguments": {"x": 1}}
        called = await modern(server.user(), "tools/call", params)
        assert called.json()["result"]["content"][0]["text"] == 'far away: {"x":1}'
    assert not remote.is_running


def test_what_comes_and_goes_is_listed_anew():
    remote: Provider = Remote()
    catalog = Catalog([remote])
    first = msgspec.json.decode(catalog.list_page("tools", V2025_11_25, None))
    assert len(first["tools"]) == 1
    remote.tools.clear()  # type: ignore[attr-defined]
    for listener in remote.listeners:  # type: ignore[attr-defined]
        listener.list_changed("tools")
    assert msgspec.json.decode(catalog.list_page("tools", V2025_11_25, None))["tools"] == []


def test_equal_names_of_two_providers_are_refused():
    with pytest.raises(DeclarationError, match="Both remote and remote offer distant"):
        Catalog([Remote(), Remote()])
