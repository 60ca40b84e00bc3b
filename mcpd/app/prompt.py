"""Prompts (MCP, server/prompts)."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from mcpd.app.content import CONTENT_TYPES, Icon, Message
from mcpd.app.context import Context
from mcpd.app.function import Function
from mcpd.app.options import check_options, read_scopes
from mcpd.limits.fair_limiter import FairLimiter


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A declared prompt. Its arguments arrive as texts."""

    name: str
    title: str | None
    description: str | None
    icons: list[Icon]
    meta: dict[str, Any] | None
    scopes: tuple[str, ...]  # that its caller must have
    function: Function

    @property
    def wants_context(self) -> bool:
        """Whether it may speak to the client before it returns."""
        return self.function.wants_context

    def arguments(self) -> list[dict[str, Any]]:
        """MCP, PromptArgument: one for each parameter."""
        required = set(self.function.schema.get("required", []))
        described = []
        for name, schema in self.function.schema.get("properties", {}).items():
            argument = {"name": name, "required": name in required}
            if "description" in schema:
                argument["description"] = schema["description"]
            described.append(argument)
        return described

    async def get(
        self, arguments: dict[str, str], context: Context | None, threads: FairLimiter
    ) -> list[Message]:
        """Call the function; what it returns is the messages.

        Raises:
            WrongArguments: naming the argument.
            Exception: whatever the function raises.
        """
        values = self.function.decode_texts(arguments)
        return _messages(await self.function.call(values, context, threads))


def _messages(value: Any) -> list[Message]:
    items = value if isinstance(value, list) else [value]
    return [_message(item) for item in items]


def _message(item: Any) -> Message:
    if isinstance(item, Message):
        return item
    if isinstance(item, (str, *CONTENT_TYPES)):
        return Message.user(item)
    raise TypeError(f"a prompt returns messages, texts or content, not {type(item).__name__}")


class PromptOptions(TypedDict, total=False):
    """What can be said of a prompt; see App.prompt."""

    name: str | None
    title: str | None
    description: str | None
    icons: Sequence[Icon]
    meta: dict[str, Any] | None
    scopes: Sequence[str]


def declare_prompt(function: Callable[..., Any], **options: Unpack[PromptOptions]) -> Prompt:
    """Build a prompt from a function; its parameters are the arguments.

    Raises:
        DeclarationError: it cannot be served.
    """
    check_options("prompt", PromptOptions, options)
    name = options.get("name") or str(getattr(function, "__name__", ""))
    return Prompt(
        name=name,
        title=options.get("title"),
        description=options.get("description") or inspect.getdoc(function) or None,
        icons=list(options.get("icons", ())),
        meta=options.get("meta"),
        scopes=read_scopes(options.get("scopes", ())),
        function=Function.of(function, name),
    )
