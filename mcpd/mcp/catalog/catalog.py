"""What a server offers: the apps' parts, merged, and every answer that can be made once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import trio

from mcpd.app.app import App, Completer, ListKind
from mcpd.app.prompt import Prompt
from mcpd.app.resource import Resource
from mcpd.app.tool import Tool
from mcpd.errors import DeclarationError
from mcpd.mcp.catalog import descriptions
from mcpd.mcp.envelope.headers import mirrored_parameters
from mcpd.mcp.envelope.modern import META_SERVER_INFO
from mcpd.mcp.revisions import REVISIONS, VERSION_NAMES, Revision
from mcpd.mcp.tasks.record import EXTENSION

PAGE_SIZE = 100
TOOL_THREADS = 40  # plain functions that run at once
CACHE_TTL_MS = 60_000  # a hint to modern clients; a change is announced as well
UI_EXTENSION = "io.modelcontextprotocol/ui"
UI_MIME_TYPE = "text/html;profile=mcp-app"

P = TypeVar("P", Tool, Resource, Prompt)


@dataclass(frozen=True, slots=True)
class Offered(Generic[P]):
    """A part with the app it belongs to."""

    part: P
    app: App


class Host:
    """The apps of one server.

    Args:
        apps: at least one; their parts share one list, so names must differ.
        page_size: items in one page of a list.
        versions: of the protocol, as they are advertised.
        keeps_tasks: False: nobody would find a task again, so tools run as plain calls.

    Raises:
        DeclarationError: two apps have a part of the same name, or a part cannot be served.
    """

    def __init__(
        self,
        apps: Sequence[App],
        *,
        page_size: int = PAGE_SIZE,
        tool_threads: int = TOOL_THREADS,
        versions: Sequence[str] = VERSION_NAMES,
        keeps_tasks: bool = True,
    ) -> None:
        self.apps = tuple(apps)
        self.states: dict[App, Any] = {}  # filled by the lifespans
        self.threads = trio.CapacityLimiter(tool_threads)
        self.info = _server_info(self.apps)
        self.instructions = "\n\n".join(app.instructions for app in apps if app.instructions)
        self.server_meta = {META_SERVER_INFO: msgspec.Raw(msgspec.json.encode(self.info))}
        self.keeps_tasks = keeps_tasks
        self._page_size = page_size
        self.versions = list(versions)
        self._lists: dict[tuple[str, Revision], list[msgspec.Raw]] = {}
        self._discovery: msgspec.Raw | None = None
        self.tools: dict[str, Offered[Tool]] = {}
        self.resources: dict[str, Offered[Resource]] = {}
        self.prompts: dict[str, Offered[Prompt]] = {}
        self.mirrored: dict[str, dict[str, list[str]]] = {}  # tool → header → path
        self._merge()
        for app in self.apps:
            app.on_list_changed.append(self._changed)

    # --- what is offered ----------------------------------------------------------------------

    @property
    def capabilities(self) -> dict[str, Any]:
        """MCP, ServerCapabilities: what is there now."""
        found: dict[str, Any] = {"logging": {}}
        if self.tools:
            found["tools"] = {"listChanged": True}
        if self.resources:
            found["resources"] = {"subscribe": True, "listChanged": True}
        if self.prompts:
            found["prompts"] = {"listChanged": True}
        if any(app.completers for app in self.apps):
            found["completions"] = {}
        extensions = self._extensions()
        return found | ({"extensions": extensions} if extensions else {})

    def _extensions(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if any("ui" in (offered.part.meta or {}) for offered in self.tools.values()):
            found[UI_EXTENSION] = {"mimeTypes": [UI_MIME_TYPE]}
        if self._has_tasks:
            found[EXTENSION] = {}
        return found

    @property
    def _has_tasks(self) -> bool:
        return self.keeps_tasks and any(
            offered.part.task != "forbidden" for offered in self.tools.values()
        )

    def capabilities_for(self, revision: Revision) -> dict[str, Any]:
        """The capabilities with the members that the revision has."""
        hidden = set() if revision.completions else {"completions"}
        if not revision.modern:
            hidden.add("extensions")
        found = {name: value for name, value in self.capabilities.items() if name not in hidden}
        if revision.tasks and not revision.modern and self._has_tasks:
            found["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
        return found

    def info_for(self, revision: Revision) -> dict[str, Any]:
        """serverInfo with the members that the revision has."""
        hidden = set() if revision.titles else {"title"}
        if not revision.icons:
            hidden |= {"icons", "websiteUrl"}
        return {name: value for name, value in self.info.items() if name not in hidden}

    def find_resource(self, uri: str) -> tuple[Offered[Resource], dict[str, str]] | None:
        """The resource behind a URI, exact ones first, and the variables of its template."""
        exact = self.resources.get(uri)
        if exact is not None and exact.part.template is None:
            return exact, {}
        for offered in self.resources.values():
            found = offered.part.match(uri)
            if found is not None:
                return offered, found
        return None

    def find_completer(self, of: str, argument: str) -> Completer | None:
        """What completes this argument of a prompt or variable of a template."""
        found = (app.completers.get((of, argument)) for app in self.apps)
        return next((completer for completer in found if completer is not None), None)

    # --- answers made once --------------------------------------------------------------------

    def list_page(self, kind: str, revision: Revision, cursor: str | None) -> msgspec.Raw:
        """An encoded list result.

        Raises:
            InvalidParams: the cursor is not one of ours.
        """
        found = self._lists.get((kind, revision))
        if found is None:
            found = self._lists[kind, revision] = list(self._encode_list(kind, revision))
        return found[descriptions.page_number(kind, cursor, len(found))]

    @property
    def discovery(self) -> msgspec.Raw:
        """The encoded result of server/discover."""
        if self._discovery is None:
            modern = REVISIONS[0]
            result: dict[str, Any] = {
                "supportedVersions": self.versions,
                "capabilities": self.capabilities_for(modern),
            }
            if self.instructions:
                result["instructions"] = self.instructions
            result = self.complete(self.cacheable(result, modern), modern)
            self._discovery = msgspec.Raw(msgspec.json.encode(result))
        return self._discovery

    def complete(self, result: dict[str, Any], revision: Revision) -> dict[str, Any]:
        """Add what the revision wants on every result."""
        if revision.modern:
            meta = {**result.get("_meta", {}), **self.server_meta}
            return {"resultType": "complete", **result, "_meta": meta}
        return result

    def cacheable(
        self, result: dict[str, Any], revision: Revision, *, private: bool = False
    ) -> dict[str, Any]:
        """Add caching hints (2026-07-28, "Caching"); lists here are the same for everybody."""
        if not revision.modern:
            return result
        if private:
            return {**result, "ttlMs": 0, "cacheScope": "private"}
        return {**result, "ttlMs": CACHE_TTL_MS, "cacheScope": "public"}

    def _encode_list(self, kind: str, revision: Revision) -> Iterator[msgspec.Raw]:
        for page in descriptions.pages(kind, self._described(kind, revision), self._page_size):
            result = self.complete(self.cacheable(page, revision), revision)
            yield msgspec.Raw(msgspec.json.encode(result))

    def _described(self, kind: str, revision: Revision) -> list[dict[str, Any]]:
        if kind == "tools":
            return [descriptions.describe_tool(o.part, revision) for o in self.tools.values()]
        if kind == "prompts":
            return [descriptions.describe_prompt(o.part, revision) for o in self.prompts.values()]
        wants_templates = kind == "resourceTemplates"
        return [
            descriptions.describe_resource(offered.part, revision)
            for offered in self.resources.values()
            if (offered.part.template is not None) == wants_templates
        ]

    # --- changes ------------------------------------------------------------------------------

    def _merge(self) -> None:
        self.tools = _merge([(app, app.tools) for app in self.apps])
        self.resources = _merge([(app, app.resources) for app in self.apps])
        self.prompts = _merge([(app, app.prompts) for app in self.apps])
        self.mirrored = {
            name: headers
            for name, offered in self.tools.items()
            if (headers := mirrored_parameters(offered.part))
        }

    def _changed(self, kind: ListKind) -> None:
        self._merge()
        self._lists.clear()
        self._discovery = None


def _merge(tables: list[tuple[App, dict[str, P]]]) -> dict[str, Offered[P]]:
    merged: dict[str, Offered[P]] = {}
    for app, table in tables:
        for key, part in table.items():
            if key in merged:
                raise DeclarationError(
                    f"Both {merged[key].app.name} and {app.name} offer {key}.",
                    fix="Give one of them another name.",
                )
            merged[key] = Offered(part, app)
    return merged


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
