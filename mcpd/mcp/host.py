"""What a server offers: the apps' tools, merged, and every answer that can be made once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import trio

from mcpd.app.app import App
from mcpd.app.tool import Tool
from mcpd.errors import DeclarationError, InvalidParams
from mcpd.mcp.modern import META_SERVER_INFO
from mcpd.mcp.revisions import REVISIONS, VERSION_NAMES, Revision
from mcpd.mcp.tool_listing import list_pages

PAGE_SIZE = 100
TOOL_THREADS = 40  # plain functions that run at once
CACHE_TTL_MS = 60_000  # a hint to modern clients; a restart may change what is listed


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool with the state of the app it belongs to."""

    tool: Tool
    app: App


class Host:
    """The apps of one server.

    Args:
        apps: at least one; their tools share one list, so names must differ.
        page_size: tools in one page of tools/list.

    Raises:
        DeclarationError: two apps have a tool of the same name.
    """

    def __init__(
        self, apps: Sequence[App], *, page_size: int = PAGE_SIZE, tool_threads: int = TOOL_THREADS
    ) -> None:
        self.apps = tuple(apps)
        self.tools = _merge(self.apps)
        self.states: dict[App, Any] = {}  # filled by the lifespans
        self.threads = trio.CapacityLimiter(tool_threads)
        self.info = _server_info(self.apps)
        self.instructions = "\n\n".join(app.instructions for app in apps if app.instructions)
        self.capabilities: dict[str, Any] = {"logging": {}}
        if self.tools:
            self.capabilities["tools"] = {}
        self.server_meta = {META_SERVER_INFO: msgspec.Raw(msgspec.json.encode(self.info))}
        self._pages = {
            revision: list_pages([o.tool for o in self.tools.values()], revision, page_size)
            for revision in REVISIONS
        }
        self._page_results = {revision: self._encode_pages(revision) for revision in REVISIONS}
        self.discovery = self._discovery()

    def tools_page(self, revision: Revision, cursor: str | None) -> msgspec.Raw:
        """An encoded tools/list result.

        Raises:
            InvalidParams: the cursor is not one of ours.
        """
        pages = self._page_results[revision]
        number = 0 if cursor is None else _page_number(cursor)
        if not 0 <= number < len(pages):
            raise InvalidParams(
                "The cursor is not valid.", fix="List again from the start, without a cursor."
            )
        return pages[number]

    def info_for(self, revision: Revision) -> dict[str, Any]:
        """serverInfo with the members that the revision has."""
        hidden = set() if revision.titles else {"title"}
        if not revision.icons:
            hidden |= {"icons", "websiteUrl"}
        return {name: value for name, value in self.info.items() if name not in hidden}

    def complete(self, result: dict[str, Any], revision: Revision) -> dict[str, Any]:
        """Add what the revision wants on every result."""
        if revision.modern:
            meta = {**result.get("_meta", {}), **self.server_meta}
            return {"resultType": "complete", **result, "_meta": meta}
        return result

    def cacheable(self, result: dict[str, Any], revision: Revision) -> dict[str, Any]:
        """Add caching hints (2026-07-28, "Caching"); lists here are the same for everybody."""
        if revision.modern:
            return {**result, "ttlMs": CACHE_TTL_MS, "cacheScope": "public"}
        return result

    def _encode_pages(self, revision: Revision) -> list[msgspec.Raw]:
        pages = self._pages[revision]
        encoded = []
        for number, tools in enumerate(pages):
            result: dict[str, Any] = {"tools": tools}
            if number + 1 < len(pages):
                result["nextCursor"] = f"page-{number + 1}"
            result = self.complete(self.cacheable(result, revision), revision)
            encoded.append(msgspec.Raw(msgspec.json.encode(result)))
        return encoded

    def _discovery(self) -> msgspec.Raw:
        modern = REVISIONS[0]
        result: dict[str, Any] = {
            "supportedVersions": VERSION_NAMES,
            "capabilities": self.capabilities,
        }
        if self.instructions:
            result["instructions"] = self.instructions
        result = self.complete(self.cacheable(result, modern), modern)
        return msgspec.Raw(msgspec.json.encode(result))


def _merge(apps: tuple[App, ...]) -> dict[str, Offered]:
    tools: dict[str, Offered] = {}
    for app in apps:
        for tool in app.tools:
            if tool.name in tools:
                raise DeclarationError(
                    f"Both {tools[tool.name].app.name} and {app.name} have a tool {tool.name}.",
                    fix="Give one of them another name.",
                )
            tools[tool.name] = Offered(tool, app)
    return tools


def _server_info(apps: tuple[App, ...]) -> dict[str, Any]:
    """MCP, Implementation. With several apps the first one speaks for all."""
    app = apps[0]
    info: dict[str, Any] = {"name": app.name, "version": app.version}
    if app.title:
        info["title"] = app.title
    if app.website_url:
        info["websiteUrl"] = app.website_url
    if app.icons:
        info["icons"] = msgspec.to_builtins(app.icons)
    return info


def _page_number(cursor: str) -> int:
    prefix, _, number = cursor.partition("-")
    return int(number) if prefix == "page" and number.isdecimal() and len(number) < 9 else -1
