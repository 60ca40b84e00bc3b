"""One tool: declared once, then called. All that can be prepared is prepared here."""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import trio

from mcpd.app.content import CONTENT_TYPES, Content, Icon, Text, ToolResult
from mcpd.app.context import Context
from mcpd.app.explain import explain
from mcpd.app.schemas import (
    JsonSchema,
    arguments_schema,
    arguments_type,
    is_object_schema,
    result_type,
    schema_of,
    type_hints,
)
from mcpd.errors import DeclarationError, ToolError

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


class WrongArguments(ToolError):
    """The arguments do not fit the schema; the message names the argument."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to, ready to be put into the words of a revision.

    ``structured`` is encoded JSON of the return value, or None.
    """

    content: list[Content]
    structured: msgspec.Raw | None = None
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
    wants_context: bool
    _call: Callable[..., Any]
    _is_async: bool
    _arguments: msgspec.json.Decoder[Any]
    _context_name: str | None
    _result: msgspec.json.Decoder[Any] | None
    _encoder: msgspec.json.Encoder = field(default_factory=msgspec.json.Encoder)

    async def run(
        self, arguments: msgspec.Raw, context: Context | None, threads: trio.CapacityLimiter
    ) -> Outcome:
        """Decode the arguments, call the function, encode what it returned.

        Args:
            context: given to the function if it wants one.
            threads: bounds how many plain functions run at once.

        Raises:
            WrongArguments: naming the argument and what was expected.
            ToolError: the function's own.
            Exception: whatever else the function raises.

        Cancellation: reaches an async function at its next checkpoint; a plain one goes on in
        its thread, unheeded.
        """
        values = msgspec.structs.asdict(self._decode(arguments))
        if self._context_name is not None:
            values[self._context_name] = context
        if self._is_async:
            value = await self._call(**values)
        else:
            value = await trio.to_thread.run_sync(
                functools.partial(self._call, **values), abandon_on_cancel=True, limiter=threads
            )
        return self._outcome(value)

    def _decode(self, arguments: msgspec.Raw) -> Any:
        try:
            return self._arguments.decode(arguments)
        except msgspec.ValidationError as error:
            return self._decode_leniently(arguments, error)

    def _decode_leniently(self, arguments: msgspec.Raw, error: msgspec.ValidationError) -> Any:
        """JSON Schema counts 1.0 as an integer; the strict decoder does not."""
        try:
            return msgspec.convert(_whole(msgspec.json.decode(arguments)), self._arguments.type)
        except msgspec.ValidationError as still:
            raise WrongArguments(explain(still, self.input_schema)) from error

    def _outcome(self, value: Any) -> Outcome:
        if self._result is not None:
            encoded = self._encoder.encode(value)
            self._check_promise(encoded)
            return Outcome([Text(encoded.decode())], msgspec.Raw(encoded))
        if value is None:
            return Outcome([])
        if isinstance(value, str):
            return Outcome([Text(value)])
        if isinstance(value, CONTENT_TYPES):
            return Outcome([value])
        if isinstance(value, ToolResult):
            return self._explicit(value)
        if isinstance(value, list) and value and all(isinstance(v, CONTENT_TYPES) for v in value):
            return Outcome(value)
        return Outcome([Text(self._encoder.encode(value).decode())])

    def _explicit(self, result: ToolResult) -> Outcome:
        structured = None
        if result.structured is not msgspec.UNSET:
            structured = msgspec.Raw(self._encoder.encode(result.structured))
        content = result.content
        if not content and structured is not None:
            content = [Text(bytes(structured).decode())]
        return Outcome(content, structured, result.is_error, result.meta)

    def _check_promise(self, encoded: bytes) -> None:
        """MCP, "Output Schema": structured content conforms to it."""
        if self._result is None:
            return
        try:
            self._result.decode(encoded)
        except msgspec.ValidationError as error:
            raise TypeError(f"tool {self.name} broke its return annotation: {error}") from error


def declare_tool(
    function: Callable[..., Any],
    *,
    name: str | None,
    title: str | None,
    description: str | None,
    hints: Hints,
    icons: list[Icon],
    meta: dict[str, Any] | None,
) -> Tool:
    """Build a tool from a function's signature, annotations and docstring.

    Raises:
        DeclarationError: naming the tool and what cannot be served.
    """
    name = name or str(getattr(function, "__name__", ""))
    if not _NAME.fullmatch(name):
        raise DeclarationError(
            f"{name!r} is no tool name.", fix="Use 1 to 128 of A-Z a-z 0-9 _ - and the dot."
        )
    hinted = type_hints(function, name)
    context_name = _context_parameter(hinted)
    arguments = arguments_type(name, function, hinted, context_name)
    promised = result_type(hinted.get("return", inspect.Parameter.empty))
    output_schema = None if promised is None else schema_of(promised, name)
    return Tool(
        name=name,
        title=title,
        description=description or inspect.getdoc(function) or None,
        input_schema=arguments_schema(arguments, name),
        output_schema=output_schema,
        hints=hints,
        icons=icons,
        meta=meta,
        wants_context=context_name is not None,
        _call=function,
        _is_async=_is_async(function),
        _arguments=msgspec.json.Decoder(arguments),
        _context_name=context_name,
        _result=None if promised is None else msgspec.json.Decoder(promised),
    )


def wraps_result(tool: Tool) -> bool:
    """Whether revisions that want objects get ``{"result": value}``."""
    return tool.output_schema is not None and not is_object_schema(tool.output_schema)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with async __call__
    )


def _context_parameter(hints: dict[str, Any]) -> str | None:
    return next((name for name, hint in hints.items() if hint is Context), None)


def _whole(value: Any) -> Any:
    """Floats without a fraction as integers, all the way down."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return value
