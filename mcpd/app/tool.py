"""One tool: declared once, then called. All that can be prepared is prepared here."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, Unpack

import msgspec

from mcpd.app.content import CONTENT_TYPES, Content, Icon, Text, ToolResult
from mcpd.app.context import Context
from mcpd.app.function import Function
from mcpd.app.options import check_options, read_scopes
from mcpd.app.schemas import JsonSchema, check_schema, result_type, schema_of
from mcpd.errors import DeclarationError
from mcpd.limits.fair_limiter import FairLimiter

TaskSupport = Literal["forbidden", "optional", "required", "late"]

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,128}")  # MCP 2025-11-25, server/tools, "Tool Names"


@dataclass(frozen=True, slots=True)
class Hints:
    """Behaviour hints (MCP, ToolAnnotations); None leaves one unsaid."""

    title: str | None = None
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None

    def on_the_wire(self) -> dict[str, Any]:
        """Only what was said."""
        pairs = {
            "title": self.title,
            "readOnlyHint": self.read_only,
            "destructiveHint": self.destructive,
            "idempotentHint": self.idempotent,
            "openWorldHint": self.open_world,
        }
        return {name: value for name, value in pairs.items() if value is not None}


class ToolOutcome(msgspec.Struct, frozen=True):
    """What a call came to, ready to be put into the words of a revision.

    ``structured`` is encoded JSON of the return value, or None.
    """

    content: list[Content]
    structured: bytes | None = None
    is_error: bool = False
    meta: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A declared tool."""

    name: str
    title: str | None
    description: str | None
    input_schema: JsonSchema
    output_schema: JsonSchema | None
    hints: Hints
    icons: list[Icon]
    meta: dict[str, Any] | None
    scopes: tuple[str, ...]  # that its caller must have
    task: TaskSupport
    max_result_bytes: int | None  # None: the server's setting holds
    function: Function
    _result: msgspec.json.Decoder[Any] | None
    _encoder: msgspec.json.Encoder = field(default_factory=msgspec.json.Encoder)

    @property
    def wants_context(self) -> bool:
        """Whether it may speak to the client before it returns."""
        return self.function.wants_context

    async def run(
        self, arguments: msgspec.Raw, context: Context | None, threads: FairLimiter
    ) -> ToolOutcome:
        """Decode the arguments, call the function, encode what it returned.

        Raises:
            WrongArguments: naming the argument and what was expected.
            ToolError: the function's own.
            Exception: whatever else the function raises.

        Cancellation: see Function.call.
        """
        values = self.function.decode(arguments)
        return self._outcome(await self.function.call(values, context, threads))

    def _outcome(self, value: Any) -> ToolOutcome:
        if self._result is not None:
            encoded = self._encoder.encode(value)
            self._check_promise(encoded)
            return ToolOutcome([Text(encoded.decode())], encoded)
        if value is None:
            return ToolOutcome([])
        if isinstance(value, str):
            return ToolOutcome([Text(value)])
        if isinstance(value, CONTENT_TYPES):
            return ToolOutcome([value])
        if isinstance(value, ToolResult):
            return self._explicit(value)
        if _is_content_list(value):
            return ToolOutcome(list(value))
        return ToolOutcome([Text(self._encoder.encode(value).decode())])

    def _explicit(self, result: ToolResult) -> ToolOutcome:
        structured = None
        if result.structured is not msgspec.UNSET:
            structured = self._encoder.encode(result.structured)
        content = result.content
        if not content and structured is not None:
            content = [Text(structured.decode())]
        return ToolOutcome(content, structured, result.is_error, result.meta)

    def _check_promise(self, encoded: bytes) -> None:
        """MCP, "Output Schema": structured content conforms to it."""
        if self._result is None:
            return
        try:
            self._result.decode(encoded)
        except msgspec.ValidationError as error:
            raise TypeError(f"tool {self.name} broke its return annotation: {error}") from error


def _is_content_list(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(item, CONTENT_TYPES) for item in value)
    )


class ToolOptions(TypedDict, total=False):
    """What can be said of a tool; see App.tool."""

    name: str | None
    title: str | None
    description: str | None
    read_only: bool | None
    destructive: bool | None
    idempotent: bool | None
    open_world: bool | None
    icons: Sequence[Icon]
    meta: dict[str, Any] | None
    scopes: Sequence[str]
    input_schema: JsonSchema | None
    task: TaskSupport
    max_result_bytes: int | None


def declare_tool(function: Callable[..., Any], **options: Unpack[ToolOptions]) -> Tool:
    """Build a tool from a function's signature, annotations and docstring.

    Raises:
        DeclarationError: naming the tool and what cannot be served.
    """
    check_options("tool", ToolOptions, options)
    name = options.get("name") or str(getattr(function, "__name__", ""))
    if not _NAME.fullmatch(name):
        raise DeclarationError(
            f"{name!r} is no tool name.", fix="Use 1 to 128 of A-Z a-z 0-9 _ - and the dot."
        )
    declared = Function.of(function, name)
    promised = result_type(declared.returns)
    return Tool(
        name=name,
        title=options.get("title"),
        description=options.get("description") or inspect.getdoc(function) or None,
        input_schema=check_schema(options.get("input_schema") or declared.schema, name),
        output_schema=None if promised is None else schema_of(promised, name),
        hints=Hints(
            options.get("title"),
            options.get("read_only"),
            options.get("destructive"),
            options.get("idempotent"),
            options.get("open_world"),
        ),
        icons=list(options.get("icons", ())),
        meta=options.get("meta"),
        scopes=read_scopes(options.get("scopes", ())),
        task=options.get("task", "forbidden"),
        max_result_bytes=_positive("max_result_bytes", options.get("max_result_bytes")),
        function=declared,
        _result=None if promised is None else msgspec.json.Decoder(promised),
    )


def _positive(name: str, value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value <= 0):
        raise DeclarationError(f"{name} is a whole number above zero.", received=str(value)[:64])
    return value
