"""What a tool can ask the client: the user's input, a model's words, the folders at hand.

A question is a value: how it goes over the wire, what the client must be able to do, and how its
answer is read. The protocol decides how it reaches the client.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from mcpd.app.content import Message
from mcpd.app.form_check import fault_of
from mcpd.app.schemas import JsonSchema, schema_of
from mcpd.errors import ToolError

T = TypeVar("T")
Action = Literal["accept", "decline", "cancel"]


class BadAnswer(ToolError):
    """The client answered with something that is no answer to the question."""

    slug = "bad_answer"


class Question(Protocol):
    """See the classes below. ``key`` names a question in 2026-07-28; empty: one is made."""

    @property
    def key(self) -> str: ...

    @property
    def method(self) -> str:
        """The MCP request."""

    @property
    def params(self) -> dict[str, Any]:
        """Its params."""

    @property
    def capability(self) -> dict[str, Any]:
        """What the client must have declared."""

    def read(self, result: Mapping[str, Any]) -> Any:
        """The answer, from the client's result.

        Raises:
            BadAnswer: it is none.
        """


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What the user did with a form or a link; ``content`` only if they accepted a form."""

    action: Action
    content: T | None = None

    @property
    def accepted(self) -> bool:
        """Whether the user went along."""
        return self.action == "accept"


class _ElicitResult(msgspec.Struct):
    action: Action
    content: Any = None


@dataclass(frozen=True, slots=True)
class Elicit(Generic[T]):
    """Ask the user to fill in a form.

    Args:
        message: what the user reads.
        form: a dataclass or Struct of texts, numbers, booleans, Literals and lists of Literals,
            or a JSON Schema of that kind; then the content is a dict that fits it.
    """

    message: str
    form: type[T] | JsonSchema
    key: str = ""

    @property
    def method(self) -> str:
        return "elicitation/create"

    @property
    def params(self) -> dict[str, Any]:
        schema = self.form if isinstance(self.form, dict) else form_schema(self.form)
        return {"mode": "form", "message": self.message, "requestedSchema": schema}

    @property
    def capability(self) -> dict[str, Any]:
        return {"elicitation": {"form": {}}}

    def read(self, result: Mapping[str, Any]) -> Answer[T]:
        """Check what came against the form."""
        reply = _convert(result, _ElicitResult)
        if reply.action != "accept":
            return Answer(reply.action)
        kind: Any = dict[str, Any] if isinstance(self.form, dict) else self.form
        content = _convert({} if reply.content is None else reply.content, kind)
        if isinstance(self.form, dict) and (fault := fault_of(content, self.form)):
            raise BadAnswer(f"The client's answer does not fit the question: {fault}.")
        return Answer("accept", content)


@dataclass(frozen=True, slots=True)
class ElicitUrl:
    """Send the user to a page; for what must not pass through the client, like a password."""

    message: str
    url: str
    elicitation_id: str
    key: str = ""

    @property
    def method(self) -> str:
        return "elicitation/create"

    @property
    def params(self) -> dict[str, Any]:
        return {
            "mode": "url",
            "message": self.message,
            "url": self.url,
            "elicitationId": self.elicitation_id,
        }

    @property
    def capability(self) -> dict[str, Any]:
        return {"elicitation": {"url": {}}}

    def read(self, result: Mapping[str, Any]) -> Answer[None]:
        """The user's decision; the rest happens on the page."""
        return Answer(_convert(result, _ElicitResult).action)


class Sampled(msgspec.Struct, rename="camel", frozen=True):
    """What a model said."""

    role: Literal["user", "assistant"]
    content: Any  # one content block or a list of them, as the client's model gave it
    model: str = ""
    stop_reason: str | None = None

    @property
    def text(self) -> str:
        """The text blocks, joined; what is no text is left out."""
        blocks = self.content if isinstance(self.content, list) else [self.content]
        texts = [block.get("text") for block in blocks if isinstance(block, dict)]
        return "".join(text for text in texts if isinstance(text, str))


@dataclass(frozen=True, slots=True)
class Sample:
    """Ask the client's model.

    Args:
        messages: the conversation; a text is the user's.
        max_tokens: at most this many are generated.
        options: other members of CreateMessageRequestParams, in wire form: modelPreferences,
            temperature, stopSequences, metadata, tools, toolChoice, ...
    """

    messages: Sequence[str | Message]
    max_tokens: int = 1024
    system: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    key: str = ""

    @property
    def method(self) -> str:
        return "sampling/createMessage"

    @property
    def params(self) -> dict[str, Any]:
        messages = [m if isinstance(m, Message) else Message.user(m) for m in self.messages]
        params: dict[str, Any] = {
            "messages": msgspec.to_builtins(messages),
            "maxTokens": self.max_tokens,
            **self.options,
        }
        return params if self.system is None else {**params, "systemPrompt": self.system}

    @property
    def capability(self) -> dict[str, Any]:
        needs_tools = "tools" in self.options or "toolChoice" in self.options
        return {"sampling": {"tools": {}} if needs_tools else {}}

    def read(self, result: Mapping[str, Any]) -> Sampled:
        """The model's message."""
        return _convert(result, Sampled)


class Root(msgspec.Struct, frozen=True):
    """A folder or file that the user lets the server know of."""

    uri: str
    name: str | None = None


class _RootsResult(msgspec.Struct):
    roots: list[Root]


@dataclass(frozen=True, slots=True)
class ListRoots:
    """Ask for the client's roots."""

    key: str = ""

    @property
    def method(self) -> str:
        return "roots/list"

    @property
    def params(self) -> dict[str, Any]:
        return {}

    @property
    def capability(self) -> dict[str, Any]:
        return {"roots": {}}

    def read(self, result: Mapping[str, Any]) -> list[Root]:
        """The roots."""
        return _convert(result, _RootsResult).roots


def _convert(value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BadAnswer(f"The client's answer does not fit the question: {error}.") from error


def form_schema(form: type) -> JsonSchema:
    """A flat schema of primitives (MCP, client/elicitation, "Requested Schema").

    Raises:
        DeclarationError: the type has no schema.
    """
    schema = schema_of(form, form.__name__)
    definitions = schema.get("$defs", {})
    properties = {
        name: _flat(member, definitions) for name, member in schema.get("properties", {}).items()
    }
    flat: JsonSchema = {"type": "object", "properties": properties}
    return flat | ({"required": schema["required"]} if schema.get("required") else {})


def _flat(schema: JsonSchema, definitions: JsonSchema) -> JsonSchema:
    if "$ref" in schema:
        target = definitions.get(schema["$ref"].rpartition("/")[2], {})
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
    if "anyOf" in schema:  # optional: the form just does not require it
        rest = {k: v for k, v in schema.items() if k not in ("anyOf", "default")}
        chosen = next(option for option in schema["anyOf"] if option.get("type") != "null")
        return {**_flat(chosen, definitions), **rest}
    if "enum" in schema:
        return {"type": "string", **schema}
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        return {**schema, "items": _flat(schema["items"], definitions)}
    return schema


def missing_capability(needed: dict[str, Any], declared: Mapping[str, Any]) -> bool:
    """Whether the client lacks what a question needs.

    An ``elicitation`` that names no mode means forms (MCP 2025-11-25, client/elicitation).
    """
    for name, parts in needed.items():
        own = declared.get(name)
        if not isinstance(own, dict):
            return True
        if name == "elicitation" and "form" in parts and "url" not in own:
            continue
        if any(part not in own for part in parts):
            return True
    return False
