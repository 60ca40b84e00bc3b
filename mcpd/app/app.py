"""App: what an author fills with tools and a server serves."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, overload

from mcpd.app.content import Icon
from mcpd.app.tool import Hints, Tool, declare_tool
from mcpd.errors import DeclarationError

F = TypeVar("F", bound=Callable[..., Any])
Lifespan = Callable[["App"], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def _no_lifespan(app: "App") -> AsyncIterator[None]:
    yield None


class App:
    """A named set of tools.

    Args:
        name: shown to clients as the server's name when this is the only app.
        version: the app's own.
        title: for people.
        instructions: for the model: what these tools are for and how they go together.
        website_url: where to read more.
        icons: pictures for the server.
        lifespan: an async context manager function; entered before the first request and left
            after the last, in a task that outlives all tools. What it yields is ``ctx.state``.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0",
        title: str | None = None,
        instructions: str | None = None,
        website_url: str | None = None,
        icons: Sequence[Icon] = (),
        lifespan: Lifespan | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.title = title
        self.instructions = instructions
        self.website_url = website_url
        self.icons = list(icons)
        self.lifespan: Lifespan = lifespan or _no_lifespan
        self._tools: dict[str, Tool] = {}

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools, in the order of their declaration."""
        return tuple(self._tools.values())

    @overload
    def tool(self, function: F, /) -> F: ...
    @overload
    def tool(
        self,
        /,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        read_only: bool | None = None,
        destructive: bool | None = None,
        idempotent: bool | None = None,
        open_world: bool | None = None,
        icons: Sequence[Icon] = (),
        meta: dict[str, Any] | None = None,
    ) -> Callable[[F], F]: ...

    def tool(
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        read_only: bool | None = None,
        destructive: bool | None = None,
        idempotent: bool | None = None,
        open_world: bool | None = None,
        icons: Sequence[Icon] = (),
        meta: dict[str, Any] | None = None,
    ) -> F | Callable[[F], F]:
        """Declare a tool: ``@app.tool`` or ``@app.tool(read_only=True)``.

        An ``async def`` runs on Trio, a plain ``def`` in a worker thread. The parameters' types
        are the input schema, the return type is the output schema, the docstring is the
        description. A parameter of type Context gets the request.

        Raises:
            DeclarationError: the function cannot be served, or the name is taken.
        """
        hints = Hints(title, read_only, destructive, idempotent, open_world)

        def declare(function: F) -> F:
            self._add(
                declare_tool(
                    function,
                    name=name,
                    title=title,
                    description=description,
                    hints=hints,
                    icons=list(icons),
                    meta=meta,
                )
            )
            return function

        return declare if function is None else declare(function)

    def _add(self, tool: Tool) -> None:
        if tool.name in self._tools:
            raise DeclarationError(f"{self.name} has two tools named {tool.name}.")
        self._tools[tool.name] = tool
