"""mcpd: a daemon that serves the Model Context Protocol. This is the face that authors see."""

from mcpd.app.app import App
from mcpd.app.content import (
    Annotations,
    Audio,
    Content,
    EmbeddedResource,
    Icon,
    Image,
    Message,
    ResourceContents,
    ResourceLink,
    Text,
    ToolResult,
)
from mcpd.app.context import Context, current_trace
from mcpd.app.environment import state_dir
from mcpd.app.questions import Answer, Elicit, ElicitUrl, ListRoots, Root, Sample, Sampled
from mcpd.errors import ToolError
from mcpd.version import __version__

__all__ = [
    "Annotations",
    "Answer",
    "App",
    "Audio",
    "Content",
    "Context",
    "Elicit",
    "ElicitUrl",
    "EmbeddedResource",
    "Icon",
    "Image",
    "ListRoots",
    "Message",
    "ResourceContents",
    "ResourceLink",
    "Root",
    "Sample",
    "Sampled",
    "Text",
    "ToolError",
    "ToolResult",
    "__version__",
    "current_trace",
    "state_dir",
]
