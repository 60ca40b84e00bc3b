"""What a catalog lists and calls: an app today, and whatever else offers the same.

``mcpd.app`` has the parts that authors declare. A catalog asks no more of them than is said here.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec

from mcpd.app.app import Completer
from mcpd.app.changes import ChangeListener
from mcpd.app.content import Annotations, Icon, Message, ResourceContents
from mcpd.app.context import Context
from mcpd.app.schemas import JsonSchema
from mcpd.app.tool import Hints, TaskSupport, ToolOutcome
from mcpd.limits.fair_limiter import FairLimiter


class Listed(Protocol):
    """What tools, resources and prompts have in common."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str | None: ...
    @property
    def description(self) -> str | None: ...
    @property
    def icons(self) -> Sequence[Icon]: ...
    @property
    def meta(self) -> dict[str, Any] | None: ...
    @property
    def scopes(self) -> tuple[str, ...]:
        """That its caller must have."""

    @property
    def wants_context(self) -> bool:
        """Whether it may speak to the client before it returns."""


class ListedTool(Listed, Protocol):
    """See app.tool.Tool."""

    @property
    def input_schema(self) -> JsonSchema: ...
    @property
    def output_schema(self) -> JsonSchema | None: ...
    @property
    def hints(self) -> Hints: ...
    @property
    def task(self) -> TaskSupport: ...
    @property
    def max_result_bytes(self) -> int | None:
        """None: the server's setting holds."""

    async def run(
        self, arguments: msgspec.Raw, context: Context | None, threads: FairLimiter
    ) -> ToolOutcome: ...


class ListedResource(Listed, Protocol):
    """See app.resource.Resource."""

    @property
    def uri(self) -> str: ...
    @property
    def is_template(self) -> bool: ...
    @property
    def mime_type(self) -> str | None: ...
    @property
    def size(self) -> int | None: ...
    @property
    def annotations(self) -> Annotations | None: ...
    def match(self, uri: str) -> dict[str, str] | None: ...
    async def read(
        self,
        uri: str,
        arguments: dict[str, str],
        context: Context | None,
        threads: FairLimiter,
    ) -> list[ResourceContents]: ...


class ListedPrompt(Listed, Protocol):
    """See app.prompt.Prompt."""

    def arguments(self) -> list[dict[str, Any]]: ...
    async def get(
        self, arguments: dict[str, str], context: Context | None, threads: FairLimiter
    ) -> list[Message]: ...


class Provider(Protocol):
    """A named set of tools, resources and prompts that may come and go while it is served."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def title(self) -> str | None: ...
    @property
    def instructions(self) -> str | None: ...
    @property
    def website_url(self) -> str | None: ...
    @property
    def icons(self) -> Sequence[Icon]: ...
    @property
    def tools(self) -> Mapping[str, ListedTool]: ...
    @property
    def resources(self) -> Mapping[str, ListedResource]: ...
    @property
    def prompts(self) -> Mapping[str, ListedPrompt]: ...
    @property
    def completers(self) -> Mapping[tuple[str, str], Completer]: ...
    def running(self) -> AbstractAsyncContextManager[Any]:
        """What it needs while it is served, entered before the first message and left after the
        last; what that yields is ``ctx.state`` of its functions.
        """

    def listen(self, listener: ChangeListener) -> None:
        """Tell the listener of each change from here on, from any thread."""
