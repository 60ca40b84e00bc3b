"""App: what an author fills with tools, resources and prompts, and a server serves."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, Unpack, overload

from mcpd.app.changes import ChangeListener, ListKind
from mcpd.app.content import Icon
from mcpd.app.prompt import Prompt, PromptOptions, declare_prompt
from mcpd.app.resource import Resource, ResourceOptions, declare_resource
from mcpd.app.tool import Tool, ToolOptions, declare_tool
from mcpd.errors import DeclarationError

F = TypeVar("F", bound=Callable[..., Any])
Lifespan = Callable[["App"], AbstractAsyncContextManager[Any]]
Completer = Callable[[str, Mapping[str, str]], Awaitable[Sequence[str]] | Sequence[str]]


@asynccontextmanager
async def _no_lifespan(app: "App") -> AsyncIterator[None]:
    yield None


class App:
    """A named set of tools, resources and prompts; all can come and go while it is served.

    Args:
        name: shown to clients as the server's name when this is the only app.
        version: the app's own.
        title: for people.
        instructions: for the model: what this is for and how the parts go together.
        website_url: where to read more.
        icons: pictures for the server.
        lifespan: an async context manager function; entered before the first request and left
            after the last, in a task that outlives all tools. What it yields is ``ctx.state``.

    Raises:
        DeclarationError: there is no name, or the lifespan is a plain ``async def``.
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
        if not name:
            raise DeclarationError("An App needs a name.")
        if inspect.isasyncgenfunction(lifespan) or inspect.iscoroutinefunction(lifespan):
            raise DeclarationError(
                f"The lifespan of {name} is not an async context manager.",
                fix="Put @contextlib.asynccontextmanager above it, and one yield into it.",
            )
        self.name = name
        self.version = version
        self.title = title
        self.instructions = instructions
        self.website_url = website_url
        self.icons = list(icons)
        self.lifespan: Lifespan = lifespan or _no_lifespan
        self.tools: dict[str, Tool] = {}
        self.resources: dict[str, Resource] = {}  # by URI, templates too
        self.prompts: dict[str, Prompt] = {}
        self.completers: dict[tuple[str, str], Completer] = {}
        self._listeners: list[ChangeListener] = []

    # --- tools --------------------------------------------------------------------------------

    @overload
    def tool(self, function: F, /) -> F: ...
    @overload
    def tool(self, /, **options: Unpack[ToolOptions]) -> Callable[[F], F]: ...

    def tool(
        self, function: F | None = None, /, **options: Unpack[ToolOptions]
    ) -> F | Callable[[F], F]:
        """Declare a tool: ``@app.tool`` or ``@app.tool(read_only=True)`` (MCP, server/tools).

        An ``async def`` runs on Trio, a plain ``def`` in a worker thread. The parameters' types
        are the input schema, the return type is the output schema. A parameter of type Context
        gets the request.

        Args:
            name: as clients call it, 1 to 128 of A-Z a-z 0-9 _ - and the dot; else the
                function's.
            title: for people.
            description: for the model; else the docstring.
            read_only, destructive, idempotent, open_world: hints for the client (MCP,
                ToolAnnotations); None leaves one unsaid. A call whose process died is run again
                only if the tool is read_only or idempotent.
            icons: pictures for the client.
            meta: ``_meta`` of the tool.
            scopes: that the caller's credential must have; a broader one contains narrower ones.
            input_schema: shown in the place of the one made from the types, which still check
                the arguments.
            task: whether a call may become a task, which the client polls: ``optional``, at once
                if the client takes tasks; ``required``, or not at all; ``late``, when the tool
                calls ``ctx.detach()``.
            max_result_bytes: of a result as JSON; a larger one becomes an error that says so.
                None: as the server's setting of that name has it.

        Returns:
            The function, unchanged.

        Raises:
            DeclarationError: the function cannot be served, or the name is taken.
        """

        def declare(function: F) -> F:
            tool = declare_tool(function, **options)
            self._add("tools", self.tools, tool.name, tool)
            return function

        return declare if function is None else declare(function)

    def remove_tool(self, name: str) -> None:
        """Take a tool away; clients that listen are told. Calls under way go on.

        Raises:
            KeyError: there is none of that name.
        """
        self._remove("tools", self.tools, name)

    # --- resources ----------------------------------------------------------------------------

    def resource(self, uri: str, **options: Unpack[ResourceOptions]) -> Callable[[F], F]:
        """Declare a resource, ``@app.resource("note://today")``, or a template of RFC 6570,
        ``@app.resource("note://{name}")``, whose variables are the function's parameters (MCP,
        server/resources).

        The function returns text, bytes, ``ResourceContents`` or a list of those, or any value
        that encodes to JSON.

        Args:
            uri: begins with a scheme.
            name: for programs; else the function's.
            title: for people.
            description: for the model; else the docstring.
            mime_type: of the contents; else it depends on what the function returns.
            size: of the contents, in bytes; not of a template.
            annotations: hints for the client.
            icons: pictures for the client.
            meta: ``_meta`` of the resource.
            scopes: that the caller's credential must have; a broader one contains narrower ones.

        Returns:
            A decorator that returns the function, unchanged.

        Raises:
            DeclarationError: the function cannot be served, or the URI is taken.
        """

        def declare(function: F) -> F:
            resource = declare_resource(function, uri, **options)
            self._add("resources", self.resources, uri, resource)
            return function

        return declare

    def remove_resource(self, uri: str) -> None:
        """Take a resource or a template away; clients that listen are told.

        Raises:
            KeyError: there is none of that URI.
        """
        self._remove("resources", self.resources, uri)

    def resource_updated(self, uri: str) -> None:
        """Tell the clients that subscribed to this resource that it changed."""
        for listener in self._listeners:
            listener.resource_updated(uri)

    # --- prompts and completion ---------------------------------------------------------------

    @overload
    def prompt(self, function: F, /) -> F: ...
    @overload
    def prompt(self, /, **options: Unpack[PromptOptions]) -> Callable[[F], F]: ...

    def prompt(
        self, function: F | None = None, /, **options: Unpack[PromptOptions]
    ) -> F | Callable[[F], F]:
        """Declare a prompt; the parameters are its arguments, which arrive as texts (MCP,
        server/prompts).

        The function returns a text, content, a ``Message``, or a list of those.

        Args:
            name: as clients get it; else the function's.
            title: for people.
            description: for the client; else the docstring.
            icons: pictures for the client.
            meta: ``_meta`` of the prompt.
            scopes: that the caller's credential must have; a broader one contains narrower ones.

        Returns:
            The function, unchanged.

        Raises:
            DeclarationError: the function cannot be served, or the name is taken.
        """

        def declare(function: F) -> F:
            prompt = declare_prompt(function, **options)
            self._add("prompts", self.prompts, prompt.name, prompt)
            return function

        return declare if function is None else declare(function)

    def remove_prompt(self, name: str) -> None:
        """Take a prompt away; clients that listen are told.

        Raises:
            KeyError: there is none of that name.
        """
        self._remove("prompts", self.prompts, name)

    def completion(self, of: str, argument: str) -> Callable[[Completer], Completer]:
        """Declare what completes an argument of a prompt (``of``: its name) or a variable of a
        template (``of``: its URI): a function of what was typed and of the other arguments, which
        returns texts, the best first; clients get the first 100 (MCP, completion/complete).
        """

        def declare(function: Completer) -> Completer:
            self.completers[of, argument] = function
            return function

        return declare

    # --- changes ------------------------------------------------------------------------------

    def running(self) -> AbstractAsyncContextManager[Any]:
        """The app's lifespan, for the server that serves it."""
        return self.lifespan(self)

    def listen(self, listener: ChangeListener) -> None:
        """Tell a server of each change from here on; listeners hear it in the order they came."""
        self._listeners.append(listener)

    def _add(self, kind: ListKind, table: dict[str, Any], key: str, item: Any) -> None:
        if key in table:
            raise DeclarationError(f"{self.name} has two {kind} named {key}.")
        table[key] = item
        self._changed(kind)

    def _remove(self, kind: ListKind, table: dict[str, Any], key: str) -> None:
        del table[key]
        self._changed(kind)

    def _changed(self, kind: ListKind) -> None:
        for listener in self._listeners:
            listener.list_changed(kind)
