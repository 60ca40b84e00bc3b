"""What a tool's call came to, in the words of each revision: put together as bytes, once. Pure."""

from typing import Any

import msgspec

from mcpd.app.content import Audio, Content, ResourceLink, Text
from mcpd.app.tool import ToolOutcome
from mcpd.mcp.catalog.descriptions import wraps_result
from mcpd.mcp.catalog.provider import ListedTool
from mcpd.mcp.revisions import Revision

_encode = msgspec.json.Encoder().encode


class EncodedResult(msgspec.Struct, frozen=True):
    """A result as JSON, complete.

    Attributes:
        is_error: the tool failed.
    """

    data: bytes
    is_error: bool = False


class ResultEnds:
    """How results of tools end: what a revision wants on each.

    Args:
        server_meta: members of ``_meta`` in the modern era.
    """

    def __init__(self, server_meta: dict[str, Any]) -> None:
        self._server_meta = server_meta
        self._modern = self._modern_end({})

    def of(self, revision: Revision, meta: dict[str, Any] | None) -> bytes:
        """The end, from the comma behind ``isError`` on.

        Args:
            meta: what the tool itself says in ``_meta``.
        """
        if revision.modern:
            return self._modern_end(meta) if meta else self._modern
        return b',"_meta":%b}' % _encode(meta) if meta else b"}"

    def _modern_end(self, meta: dict[str, Any]) -> bytes:
        return b',"resultType":"complete","_meta":%b}' % _encode({**meta, **self._server_meta})


def call_result(
    tool: ListedTool, outcome: ToolOutcome, revision: Revision, ends: ResultEnds
) -> EncodedResult:
    """MCP, CallToolResult."""
    content = content_for(outcome.content, revision)
    structured, is_error = outcome.structured, outcome.is_error
    end = ends.of(revision, outcome.meta)
    if structured is None or is_error or not revision.structured:
        flag = b"true" if is_error else b"false"
        return EncodedResult(
            b'{"content":%b,"isError":%b%b' % (_encode(content), flag, end), is_error
        )
    if not revision.any_structure:
        structured = _object(tool, structured)
    return EncodedResult(
        b'{"content":%b,"structuredContent":%b,"isError":false%b'
        % (_encode(content), structured, end)
    )


def error_result(message: str, revision: Revision, ends: ResultEnds) -> EncodedResult:
    """A failure that the caller, usually a model, can read and act on."""
    content = _encode([Text(message)])
    end = ends.of(revision, None)
    return EncodedResult(b'{"content":%b,"isError":true%b' % (content, end), is_error=True)


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


def _object(tool: ListedTool, value: bytes) -> bytes:
    if wraps_result(tool.output_schema) or value[:1] != b"{":
        return b'{"result":%b}' % value
    return value
