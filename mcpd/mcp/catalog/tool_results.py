"""What a tool's call came to, in the words of each revision. Pure."""

from typing import Any

import msgspec

from mcpd.app.content import Audio, Content, ResourceLink, Text
from mcpd.app.tool import ToolOutcome
from mcpd.mcp.catalog.descriptions import wraps_result
from mcpd.mcp.catalog.provider import ListedTool
from mcpd.mcp.revisions import Revision


def call_result(tool: ListedTool, outcome: ToolOutcome, revision: Revision) -> dict[str, Any]:
    """MCP, CallToolResult."""
    result: dict[str, Any] = {"content": content_for(outcome.content, revision)}
    if outcome.structured is not None and revision.structured and not outcome.is_error:
        result["structuredContent"] = _structure(tool, outcome.structured, revision)
    result["isError"] = outcome.is_error
    if outcome.meta:
        result["_meta"] = outcome.meta
    return result


def error_result(message: str) -> dict[str, Any]:
    """A failure that the caller, usually a model, can read and act on."""
    return {"content": [Text(message)], "isError": True}


def too_large(size: int, limit: int) -> str:
    """What is said in the place of a result that has too many bytes."""
    return (
        f"The result has {size} bytes, and at most {limit} are sent. Ask for less at once, or for a"
        " part. Of the server: max_result_bytes is a setting, and an option of each tool."
    )


def content_for(content: list[Content], revision: Revision) -> list[Content]:
    """Content of kinds that the revision does not have becomes a line of text."""
    if revision.metadata:  # then it has every kind
        return content
    return [_downgrade(item, revision) for item in content]


def _downgrade(item: Content, revision: Revision) -> Content:
    if isinstance(item, Audio) and not revision.audio:
        return Text(f"[audio, {item.mime_type}, {len(item.data) * 3 // 4} bytes]")
    if isinstance(item, ResourceLink) and not revision.resource_links:
        return Text(f"[resource {item.name}: {item.uri}]")
    return msgspec.structs.replace(item, meta=None) if item.meta else item


def _structure(tool: ListedTool, value: msgspec.Raw, revision: Revision) -> Any:
    if revision.any_structure:
        return value
    if wraps_result(tool.output_schema) or bytes(value)[:1] != b"{":
        return {"result": value}
    return value
