"""What a server offers: its providers' parts, merged, and every answer that can be made once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from mcpd.access.rights import Kind, Rights, View
from mcpd.app.app import Completer
from mcpd.app.changes import ListKind
from mcpd.errors import DeclarationError
from mcpd.limits.fair_limiter import FairLimiter
from mcpd.mcp.catalog import descriptions
from mcpd.mcp.catalog.provider import (
    Listed,
    ListedPrompt,
    ListedResource,
    ListedTool,
    Provider,
)
from mcpd.mcp.catalog.tool_results import ResultEnds
from mcpd.mcp.envelope.headers import mirrored_parameters
from mcpd.mcp.envelope.params import META_SERVER_INFO, TASKS_EXTENSION
from mcpd.mcp.revisions import REVISIONS, VERSION_NAMES, Revision
from mcpd.observer import current

PAGE_SIZE = 100
MAX_LISTS = 1000  # that are kept encoded
TOOL_THREADS = 40  # plain functions that run at once
CACHE_TTL_MS = 60_000  # a hint to modern clients; a change is announced as well
UI_EXTENSION = "io.modelcontextprotocol/ui"
UI_MIME_TYPE = "text/html;profile=mcp-app"

P = TypeVar("P", bound=Listed, covariant=True)


@dataclass(frozen=True, slots=True)
class Offered(Generic[P]):
    """A part with the provider that it belongs to.

    Attributes:
        variables: of a template, in the URI by which it was found.
    """

    part: P
    provider: Provider
    variables: dict[str, str] = field(default_factory=dict)


class Catalog:
    """What the providers of one server offer.

    Args:
        providers: at least one; their parts share one list, so names must differ.
        page_size: items in one page of a list.
        versions: of the protocol, as they are advertised.
        keeps_tasks: False: a task could not be found again, so tools run as plain calls.

    Raises:
        DeclarationError: two providers have a part of the same name, or a part cannot be served.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        page_size: int = PAGE_SIZE,
        tool_threads: int = TOOL_THREADS,
        versions: Sequence[str] = VERSION_NAMES,
        keeps_tasks: bool = True,
    ) -> None:
        self.providers = tuple(providers)
        self.states: dict[Provider, Any] = {}  # filled by the lifespans; ``ctx.state``
        self.threads = FairLimiter(tool_threads, _current_user)
        self.info = descriptions.server_info(self.providers[0])
        self.instructions = "\n\n".join(p.instructions for p in self.providers if p.instructions)
        self.server_meta = {META_SERVER_INFO: msgspec.Raw(msgspec.json.encode(self.info))}
        self.result_ends = ResultEnds(self.server_meta)
        self.keeps_tasks = keeps_tasks
        self._page_size = page_size
        self.versions = list(versions)
        self._lists: dict[tuple[str, Revision, View | None], list[msgspec.Raw]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._discovery: msgspec.Raw | None = None
        self.tools: dict[str, Offered[ListedTool]] = {}
        self.resources: dict[str, Offered[ListedResource]] = {}
        self.prompts: dict[str, Offered[ListedPrompt]] = {}
        self.mirrored: dict[str, dict[str, list[str]]] = {}  # tool → header → path
        self._merge()
        for provider in self.providers:
            provider.listen(self)

    # --- what is offered ----------------------------------------------------------------------

    @property
    def capabilities(self) -> dict[str, Any]:
        """MCP, ServerCapabilities: what is there now."""
        capabilities_now: dict[str, Any] = {"logging": {}}
        if self.tools:
            capabilities_now["tools"] = {"listChanged": True}
        if self.resources:
            capabilities_now["resources"] = {"subscribe": True, "listChanged": True}
        if self.prompts:
            capabilities_now["prompts"] = {"listChanged": True}
        if any(provider.completers for provider in self.providers):
            capabilities_now["completions"] = {}
        extensions = self._extensions()
        return capabilities_now | ({"extensions": extensions} if extensions else {})

    def _extensions(self) -> dict[str, Any]:
        extensions: dict[str, Any] = {}
        if any("ui" in (offered.part.meta or {}) for offered in self.tools.values()):
            extensions[UI_EXTENSION] = {"mimeTypes": [UI_MIME_TYPE]}
        if self._has_tasks:
            extensions[TASKS_EXTENSION] = {}
        return extensions

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

    def find_resource(self, uri: str, rights: Rights) -> Offered[ListedResource] | None:
        """The resource behind a URI, as if there were none but those that are shown: an exact one,
        else that of the first template that fits.
        """
        exact = self.resources.get(uri)
        is_exact = exact is not None and not exact.part.is_template
        if exact is not None and is_exact and rights.shows("resources", exact.part):
            return exact
        for offered in self.resources.values():
            if not rights.shows("resources", offered.part):
                continue
            variables = offered.part.match(uri)
            if variables is not None:
                return Offered(offered.part, offered.provider, variables)
        return None

    def find_completer(self, of: str, argument: str) -> Completer | None:
        """What completes this argument of a prompt or variable of a template."""
        found = (provider.completers.get((of, argument)) for provider in self.providers)
        return next((completer for completer in found if completer is not None), None)

    # --- answers made once --------------------------------------------------------------------

    def list_page(
        self, kind: str, revision: Revision, cursor: str | None, view: View | None = None
    ) -> msgspec.Raw:
        """An encoded list result.

        Args:
            view: what of it is shown; None: all.

        Raises:
            InvalidParams: the cursor is not one of ours.
        """
        pages = self._lists.get((kind, revision, view))
        if pages is None:
            if len(self._lists) >= MAX_LISTS:
                self._lists.clear()
            pages = list(self._encode_list(kind, revision, view))
            self._lists[kind, revision, view] = pages
        return pages[descriptions.page_number(kind, cursor, len(pages))]

    def list_size(self, kind: str) -> tuple[int, int]:
        """How many items a list has, and its bytes as JSON, in the newest revision."""
        if kind not in self._sizes:
            self.list_page(kind, REVISIONS[0], None)
            size = sum(len(bytes(page)) for page in self._lists[kind, REVISIONS[0], None])
            self._sizes[kind] = len(self._described(kind, REVISIONS[0], None)), size
        return self._sizes[kind]

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
            result = self.add_result_meta(self.cacheable(result, modern), modern)
            self._discovery = msgspec.Raw(msgspec.json.encode(result))
        return self._discovery

    def add_result_meta(self, result: dict[str, Any], revision: Revision) -> dict[str, Any]:
        """Add what the revision wants on every result."""
        if revision.modern:
            meta = {**result.get("_meta", {}), **self.server_meta}
            return {"resultType": "complete", **result, "_meta": meta}
        return result

    def cacheable(
        self, result: dict[str, Any], revision: Revision, *, private: bool = False
    ) -> dict[str, Any]:
        """Add caching hints (2026-07-28, "Caching").

        Args:
            private: it is for this caller alone, and may be another one at once.
        """
        if not revision.modern:
            return result
        if private:
            return {**result, "ttlMs": 0, "cacheScope": "private"}
        return {**result, "ttlMs": CACHE_TTL_MS, "cacheScope": "public"}

    def _encode_list(
        self, kind: str, revision: Revision, view: View | None
    ) -> Iterator[msgspec.Raw]:
        described = self._described(kind, revision, view)
        for page in descriptions.pages(kind, described, self._page_size):
            hinted = self.cacheable(page, revision)
            if view is not None and revision.modern:
                hinted["cacheScope"] = "private"  # others have other roles
            result = self.add_result_meta(hinted, revision)
            yield msgspec.Raw(msgspec.json.encode(result))

    def _described(self, kind: str, revision: Revision, view: View | None) -> list[dict[str, Any]]:
        if kind == "tools":
            tools = _shown("tools", self.tools, view)
            return [descriptions.describe_tool(tool, revision) for tool in tools]
        if kind == "prompts":
            prompts = _shown("prompts", self.prompts, view)
            return [descriptions.describe_prompt(prompt, revision) for prompt in prompts]
        wants_templates = kind == "resourceTemplates"
        return [
            descriptions.describe_resource(resource, revision)
            for resource in _shown("resources", self.resources, view)
            if resource.is_template == wants_templates
        ]

    # --- changes ------------------------------------------------------------------------------

    def _merge(self) -> None:
        self.tools = _merge([(p, p.tools) for p in self.providers])
        self.resources = _merge([(p, p.resources) for p in self.providers])
        self.prompts = _merge([(p, p.prompts) for p in self.providers])
        self.mirrored = {
            name: headers
            for name, offered in self.tools.items()
            if (headers := mirrored_parameters(name, offered.part.input_schema))
        }

    def list_changed(self, kind: ListKind) -> None:
        """See app.ChangeListener."""
        self._merge()
        self._lists.clear()
        self._sizes.clear()
        self._discovery = None

    def resource_updated(self, uri: str) -> None:
        """See app.ChangeListener; nothing is kept of a resource's contents."""


def _current_user() -> str:
    return current.get().user


def _shown(kind: Kind, table: Mapping[str, Offered[P]], view: View | None) -> Iterator[P]:
    """What of a table a view shows."""
    for offered in table.values():
        if view is None or view.shows(kind, offered.part):
            yield offered.part


def _merge(tables: list[tuple[Provider, Mapping[str, P]]]) -> dict[str, Offered[P]]:
    merged: dict[str, Offered[P]] = {}
    for provider, table in tables:
        for key, part in table.items():
            if key in merged:
                raise DeclarationError(
                    f"Both {merged[key].provider.name} and {provider.name} offer {key}.",
                    fix="Give one of them another name.",
                )
            merged[key] = Offered(part, provider)
    return merged
