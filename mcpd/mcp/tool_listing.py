"""Tools in the words of each revision. Runs once, when the host is built."""

from collections.abc import Sequence
from typing import Any

import msgspec

from mcpd.app.tool import Tool, wraps_result
from mcpd.mcp.revisions import Revision


def list_pages(tools: Sequence[Tool], revision: Revision, size: int) -> list[list[Any]]:
    """The tools in stable order, cut into pages; at least one page."""
    described = [describe(tool, revision) for tool in tools]
    return [described[start : start + size] for start in range(0, len(described), size)] or [[]]


def describe(tool: Tool, revision: Revision) -> dict[str, Any]:
    """MCP, Tool, with the members that the revision has."""
    described: dict[str, Any] = {"name": tool.name, "inputSchema": tool.input_schema}
    if tool.description:
        described["description"] = tool.description
    if revision.titles and tool.title:
        described["title"] = tool.title
    hints = tool.hints.on_the_wire()
    if revision.tool_annotations and hints:
        described["annotations"] = hints
    if revision.structured and tool.output_schema is not None:
        described["outputSchema"] = output_schema(tool, revision)
    if revision.icons and tool.icons:
        described["icons"] = msgspec.to_builtins(tool.icons)
    if revision.metadata and tool.meta:
        described["_meta"] = tool.meta
    return described


def output_schema(tool: Tool, revision: Revision) -> dict[str, Any]:
    """The schema of structuredContent; objects only, before 2026-07-28."""
    schema = tool.output_schema or {}
    if revision.any_structure or not wraps_result(tool):
        return schema
    inner = {name: value for name, value in schema.items() if name != "$defs"}
    wrapped = {"type": "object", "properties": {"result": inner}, "required": ["result"]}
    return wrapped | ({"$defs": schema["$defs"]} if "$defs" in schema else {})
