"""What a tool sees of the request it serves."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol, TypeVar

from mcpd.app.content import Message
from mcpd.app.questions import (
    Answer,
    Elicit,
    ElicitUrl,
    ListRoots,
    Question,
    Root,
    Sample,
    Sampled,
)
from mcpd.app.schemas import JsonSchema
from mcpd.observer import current

T = TypeVar("T")

LogLevel = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
LOG_LEVELS: tuple[LogLevel, ...] = (
    "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency",
)  # fmt: skip


class Conversation(Protocol):
    """The request as the protocol knows it; ``mcp.questions.conversation`` implements it."""

    @property
    def request_id(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def scopes(self) -> frozenset[str]: ...
    @property
    def session_id(self) -> str | None: ...
    @property
    def protocol_version(self) -> str: ...
    @property
    def client_info(self) -> Mapping[str, Any]: ...
    @property
    def client_capabilities(self) -> Mapping[str, Any]: ...

    async def progress(self, progress: float, total: float | None, message: str | None) -> None: ...
    async def log(self, level: LogLevel, data: Any, logger: str | None) -> None: ...
    async def ask(self, questions: Sequence[Question]) -> list[Any]: ...
    async def close_stream(self, retry_after_s: float) -> None: ...
    async def detach(self) -> None: ...


def current_trace() -> dict[str, str]:
    """As ``Context.trace``, for code that has no Context; also in the thread of a plain function.
    Each call names another span below that of the request.
    """
    context = current.get().context
    return {} if context is None else context.child().carried()


class Context:
    """The request that a tool serves: give a parameter this type to get it.

    It is valid while the tool runs. From a tool that runs in a thread, call its coroutines with
    ``trio.from_thread.run(ctx.report_progress, 1, 10)``.
    """

    __slots__ = ("_conversation", "state")

    def __init__(self, conversation: Conversation, state: Any) -> None:
        self._conversation = conversation
        self.state = state
        """What the app's lifespan yielded."""

    @property
    def request_id(self) -> str:
        """Names this request in the server's log."""
        return self._conversation.request_id

    @property
    def trace(self) -> Mapping[str, str]:
        """Header fields, or members of ``_meta``, for what this call sends on to other services
        (W3C Trace Context): ``traceparent``, and ``tracestate`` and ``baggage`` if they came with
        the request. Empty: it belongs to no trace.
        """
        return current_trace()

    @property
    def user(self) -> str:
        """The user of the verified token; ``local`` where authentication is off."""
        return self._conversation.user

    @property
    def owner(self) -> str:
        """The user as a key to keep things under: users of different issuers (``iss``) that have
        the same name are different owners. Equal to ``user`` where tokens name no issuer.
        """
        return self._conversation.owner

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes of the verified token."""
        return self._conversation.scopes

    @property
    def session_id(self) -> str | None:
        """The session, in the revisions that have one. It says nothing of who calls."""
        return self._conversation.session_id

    @property
    def protocol_version(self) -> str:
        """The MCP revision that this request speaks."""
        return self._conversation.protocol_version

    @property
    def client_info(self) -> Mapping[str, Any]:
        """What the client says of itself, unverified; empty if it said nothing."""
        return self._conversation.client_info

    @property
    def client_capabilities(self) -> Mapping[str, Any]:
        """What the client declared that it can do."""
        return self._conversation.client_capabilities

    async def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell the caller how far the work is, if it asked for that.

        A value that is not above the last one is dropped, as are values that come faster than
        a person or a model can use them; the first and the one that reaches ``total`` are sent.

        Cancellation: a checkpoint; waits while the caller does not read.
        """
        await self._conversation.progress(progress, total, message)

    @asynccontextmanager
    async def progress(self, total: float | None = None) -> AsyncIterator["Progress"]:
        """Count steps: ``async with ctx.progress(3) as step: ...; await step("built")``."""
        yield Progress(self, total)

    async def log(self, level: LogLevel, data: Any, logger: str | None = None) -> None:
        """Send the client a log message, if it wants this level. Never put a secret in one.

        Args:
            level: one of RFC 5424's names.
            data: anything that encodes to JSON.

        Cancellation: a checkpoint; waits while the client does not read.
        """
        await self._conversation.log(level, data, logger)

    async def detach(self) -> None:
        """Turn this call into a task: the client gets its id now and comes back for the result.

        For tools declared with ``task="late"``, where the client takes tasks; otherwise nothing
        happens. What is asked before is asked within the call, what is asked later by the task.
        """
        await self._conversation.detach()

    async def close_stream(self, retry_after_s: float = 1.0) -> None:
        """Let the client's connection go while the work goes on; it comes back for the rest.

        Where the revision has no such thing (all but 2025-11-25) nothing happens.

        Args:
            retry_after_s: when the client should come back.
        """
        await self._conversation.close_stream(retry_after_s)

    async def ask(self, *questions: Question) -> list[Any]:
        """Ask the client several things at once; the answers come in the same order.

        In 2026-07-28 a question ends this run of the tool, and the tool is run again with the
        answer: what stands before a question happens each time, so ask first and act then.

        Raises:
            MissingClientCapability: the client cannot be asked this.
            ToolError: it did not answer, or not in a way that could be understood.

        Cancellation: the client is told that the question is off.
        """
        return await self._conversation.ask(questions)

    async def elicit(self, message: str, form: type[T] | JsonSchema) -> Answer[T]:
        """Ask the user to fill in a form (MCP, client/elicitation).

        Args:
            message: what the user reads.
            form: a dataclass or Struct of texts, numbers, booleans, Literals and lists of
                Literals, or a JSON Schema of that kind.

        Returns:
            What the user did. ``content`` is an instance of ``form``, or a dict for a schema; None
            unless the user accepted.

        Raises:
            MissingClientCapability, ToolError: see ``ask``.

        Cancellation: see ``ask``.
        """
        (answer,) = await self.ask(Elicit(message, form))
        return answer  # type: ignore[no-any-return]

    async def elicit_url(self, message: str, url: str, elicitation_id: str) -> Answer[None]:
        """Send the user to a page, for what must not pass through the client, like a password
        (MCP 2025-11-25, client/elicitation, "URL Mode").

        Args:
            message: what the user reads.
            url: of the page.
            elicitation_id: by which the page knows what it is for.

        Returns:
            Whether the user went there; the rest happens on the page.

        Raises:
            MissingClientCapability, ToolError: see ``ask``.
        """
        (answer,) = await self.ask(ElicitUrl(message, url, elicitation_id))
        return answer  # type: ignore[no-any-return]

    async def sample(
        self,
        *messages: str | Message,
        max_tokens: int = 1024,
        system: str | None = None,
        **options: Any,
    ) -> Sampled:
        """Ask the client's model (MCP, client/sampling).

        Args:
            messages: the conversation; a text is the user's.
            max_tokens: at most this many are generated.
            system: the system prompt.
            options: other members of CreateMessageRequestParams, in wire form: modelPreferences,
                temperature, stopSequences, tools, toolChoice, ...

        Returns:
            What the model said; ``text`` joins its text blocks.

        Raises:
            MissingClientCapability, ToolError: see ``ask``.
        """
        (answer,) = await self.ask(Sample(messages, max_tokens, system, options))
        return answer  # type: ignore[no-any-return]

    async def roots(self) -> list[Root]:
        """Ask for the folders and files that the user lets the server know of (MCP,
        client/roots).

        Raises:
            MissingClientCapability, ToolError: see ``ask``.
        """
        (answer,) = await self.ask(ListRoots())
        return answer  # type: ignore[no-any-return]

    async def debug(self, data: Any) -> None:
        """``log`` at level debug."""
        await self.log("debug", data)

    async def info(self, data: Any) -> None:
        """``log`` at level info."""
        await self.log("info", data)

    async def warning(self, data: Any) -> None:
        """``log`` at level warning."""
        await self.log("warning", data)

    async def error(self, data: Any) -> None:
        """``log`` at level error."""
        await self.log("error", data)


class Progress:
    """Counts steps of a known or unknown number; see ``Context.progress``."""

    def __init__(self, context: Context, total: float | None) -> None:
        self._context = context
        self._total = total
        self.done = 0.0

    async def __call__(self, message: str | None = None, *, steps: float = 1) -> None:
        """``steps`` more are done."""
        self.done += steps
        await self._context.report_progress(self.done, self._total, message)
