"""mcpd: a daemon that serves the Model Context Protocol. This is the face that authors see."""

from mcpd.app.app import App
from mcpd.app.content import (
    Annotations,
    Audio,
    Content,
    EmbeddedResource,
    Icon,
    Image,
    ResourceContents,
    ResourceLink,
    Text,
    ToolResult,
)
from mcpd.app.context import Context
from mcpd.errors import ToolError
from mcpd.version import __version__

__all__ = [
    "Annotations",
    "App",
    "Audio",
    "Content",
    "Context",
    "EmbeddedResource",
    "Icon",
    "Image",
    "ResourceContents",
    "ResourceLink",
    "Text",
    "ToolError",
    "ToolResult",
    "__version__",
]
