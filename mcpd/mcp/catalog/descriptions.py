"""Tools, resources and prompts in the words of each revision. Runs once for each list."""

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from mcpd.app.schemas import JsonSchema, is_object_schema
from mcpd.errors import InvalidParams
from mcpd.mcp.catalog.provider import Listed, ListedPrompt, ListedResource, ListedTool, Provider
from mcpd.mcp.revisions import Revision


def describe_tool(tool: ListedTool, revision: Revision) -> dict[str, Any]:
    """MCP, Tool, with the members that the revision has."""
    described = _common(tool, revision)
    described["inputSchema"] = tool.input_schema
    hints = tool.hints.on_the_wire()
    if revision.tool_annotations and hints:
        described["annotations"] = hints
    if revision.structured and tool.output_schema is not None:
        described["outputSchema"] = output_schema(tool, revision)
    if revision.tasks and not revision.modern and tool.task != "forbidden":
        support = "required" if tool.task == "required" else "optional"
        described["execution"] = {"taskSupport": support}
    return described


def output_schema(tool: ListedTool, revision: Revision) -> dict[str, Any]:
    """The schema of structuredContent; objects only, before 2026-07-28."""
    schema = tool.output_schema or {}
    if revision.any_structure or not wraps_result(tool.output_schema):
        return schema
    inner = {name: value for name, value in schema.items() if name != "$defs"}
    wrapped = {"type": "object", "properties": {"result": inner}, "required": ["result"]}
    return wrapped | ({"$defs": schema["$defs"]} if "$defs" in schema else {})


def wraps_result(schema: JsonSchema | None) -> bool:
    """Whether revisions that want objects get ``{"result": value}`` for this output schema."""
    return schema is not None and not is_object_schema(schema)


def describe_resource(resource: ListedResource, revision: Revision) -> dict[str, Any]:
    """MCP, Resource or ResourceTemplate."""
    described = _common(resource, revision)
    described["uri" if not resource.is_template else "uriTemplate"] = resource.uri
    if resource.mime_type:
        described["mimeType"] = resource.mime_type
    if resource.annotations:
        described["annotations"] = msgspec.to_builtins(resource.annotations)
    if resource.size is not None and not resource.is_template:
        described["size"] = resource.size
    return described


def describe_prompt(prompt: ListedPrompt, revision: Revision) -> dict[str, Any]:
    """MCP, Prompt."""
    arguments = prompt.arguments()
    return _common(prompt, revision) | ({"arguments": arguments} if arguments else {})


def _common(item: Listed, revision: Revision) -> dict[str, Any]:
    described: dict[str, Any] = {"name": item.name}
    if item.description:
        described["description"] = item.description
    if revision.titles and item.title:
        described["title"] = item.title
    if revision.icons and item.icons:
        described["icons"] = msgspec.to_builtins(item.icons)
    if revision.metadata and item.meta:
        described["_meta"] = item.meta
    return described


def pages(kind: str, items: Sequence[Any], size: int) -> list[dict[str, Any]]:
    """List results in stable order, at least one; each but the last names the next."""
    starts = range(0, len(items), size) if items else [0]
    found: list[dict[str, Any]] = []
    for number, start in enumerate(starts):
        page: dict[str, Any] = {kind: list(items[start : start + size])}
        if start + size < len(items):
            page["nextCursor"] = _cursor(kind, number + 1)
        found.append(page)
    return found


def page_number(kind: str, cursor: str | None, count: int) -> int:
    """Which page a cursor means.

    Raises:
        InvalidParams: it is not one of this list's.
    """
    if cursor is None:
        return 0
    for number in range(1, count):
        if cursor == _cursor(kind, number):
            return number
    raise InvalidParams(
        "The cursor is not valid.", fix="List again from the start, without a cursor."
    )


def _cursor(kind: str, number: int) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{number}".encode()).decode("ascii").rstrip("=")


def server_info(provider: Provider) -> dict[str, Any]:
    """MCP, Implementation. Of several providers the first one speaks for all."""
    info: dict[str, Any] = {"name": provider.name, "version": provider.version}
    if provider.title:
        info["title"] = provider.title
    if provider.website_url:
        info["websiteUrl"] = provider.website_url
    if provider.icons:
        info["icons"] = msgspec.to_builtins(provider.icons)
    return info
