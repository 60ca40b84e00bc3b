"""Content that tools return (MCP, server/tools, "Tool Result"), in wire form.

Fields are snake_case here and camelCase on the wire.
"""

import base64
from typing import Any, Literal, Self

import msgspec


class Annotations(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """Hints on content for the client (MCP, server/resources, "Annotations")."""

    audience: list[Literal["user", "assistant"]] | None = None
    priority: float | None = None  # 0 to 1
    last_modified: str | None = None  # ISO 8601


class Icon(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """A picture for a server, a tool, a resource or a prompt (MCP, basic/index, "icons").

    Args:
        src: an ``https:`` or ``data:`` URI.
        mime_type: of the picture.
        sizes: such as ``48x48``, or ``any`` for one that scales.
        theme: the background that it is made for.
    """

    src: str
    mime_type: str | None = None
    sizes: list[str] | None = None
    theme: Literal["light", "dark"] | None = None


class _Content(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    annotations: Annotations | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class Text(_Content, tag_field="type", tag="text", kw_only=False, frozen=True):
    """Text."""

    text: str


class _Media(_Content, frozen=True):
    data: str
    mime_type: str

    @classmethod
    def of(cls, data: bytes, mime_type: str) -> Self:
        """From raw bytes."""
        return cls(data=base64.b64encode(data).decode("ascii"), mime_type=mime_type)


class Image(_Media, tag_field="type", tag="image", frozen=True):
    """A picture; ``data`` is Base64. ``Image.of`` encodes bytes."""


class Audio(_Media, tag_field="type", tag="audio", frozen=True):
    """Sound; ``data`` is Base64. Since 2025-03-26; older clients get a line of text."""


class ResourceLink(_Content, tag_field="type", tag="resource_link", frozen=True):
    """A link to a resource. Since 2025-06-18; older clients get a line of text."""

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    size: int | None = None  # bytes


class ResourceContents(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """What a resource holds: ``text``, or ``blob`` in Base64."""

    uri: str
    mime_type: str | None = None
    text: str | None = None
    blob: str | None = None


class EmbeddedResource(_Content, tag_field="type", tag="resource", frozen=True):
    """A resource, contents and all."""

    resource: ResourceContents


Content = Text | Image | Audio | ResourceLink | EmbeddedResource
CONTENT_TYPES = (Text, Image, Audio, ResourceLink, EmbeddedResource)


class Message(msgspec.Struct, frozen=True):
    """One message of a prompt, or of a sampling request."""

    role: Literal["user", "assistant"]
    content: Content

    @classmethod
    def user(cls, content: str | Content) -> "Message":
        """What the user says."""
        return cls("user", Text(content) if isinstance(content, str) else content)

    @classmethod
    def assistant(cls, content: str | Content) -> "Message":
        """What the model says."""
        return cls("assistant", Text(content) if isinstance(content, str) else content)


class ToolResult(msgspec.Struct, frozen=True):
    """A result in full, where the return value alone does not say it.

    Args:
        content: what a model reads.
        structured: what a program reads; any value that encodes to JSON.
        is_error: the tool failed in a way the caller can act on.
        meta: ``_meta`` of the result.
    """

    content: list[Content] = []
    structured: Any = msgspec.UNSET
    is_error: bool = False
    meta: dict[str, Any] | None = None
