"""The request behind a Context: progress, log messages, questions, and what it may know."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import trio

from mcpd.app.context import LogLevel
from mcpd.app.questions import Question, missing_capability
from mcpd.errors import MissingClientCapability, ToolError
from mcpd.limits.buckets import Bucket
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.revisions import Revision
from mcpd.mcp.streams.writer import CallWriter
from mcpd.observer import current
from mcpd.rpc.messages import encode_notification
from mcpd.sessions.streams import MAX_BYTES

# Enough for a person and for a model, too little to flood a client (MCP, "Progress").
NOTIFICATIONS_BURST = 200
NOTIFICATIONS_PER_S = 50.0
MAX_MESSAGE_BYTES = MAX_BYTES  # of one that goes out before a result: what a stream keeps


class Outlet(Protocol):
    """Where the messages go that a request sends before its result.

    Attributes:
        writer: of the kept stream behind it, where there is one.
    """

    @property
    def writer(self) -> CallWriter | None: ...
    async def send(self, message: bytes) -> None:
        """Send an encoded message; returns when it went out, or is kept.

        Cancellation: before the message or not at all.
        """

    async def post(self, message: bytes) -> None:
        """Let an encoded message that only informs go out soon, in its order.

        Cancellation: the message may go out all the same.
        """


def bounded(message: bytes) -> bytes:
    """The message.

    Raises:
        ToolError: it has more than MAX_MESSAGE_BYTES.
    """
    if len(message) > MAX_MESSAGE_BYTES:
        raise ToolError(
            f"A message to the client has {len(message)} bytes, and at most {MAX_MESSAGE_BYTES}"
            " are sent."
        )
    return message


class Asker(Protocol):
    """How a question reaches the client of a request; each era has its own."""

    async def ask(self, questions: Sequence[Question]) -> list[Any]:
        """The answers, in the same order. See ``Context.ask``."""


class CallConversation:
    """See app.context.Conversation.

    Args:
        progress_token: as the client sent it; UNSET: it wants no progress.
        outlet: None: the client takes no stream.
        asker: None: the client cannot be asked.
    """

    def __init__(
        self, caller: Caller, progress_token: Any, outlet: Outlet | None, asker: Asker | None
    ) -> None:
        self._caller = caller
        self._progress_token = _legal_token(progress_token)
        self._outlet = outlet
        self._asker = asker
        self._writer = None if outlet is None else outlet.writer
        self._last_progress = None if self._writer is None else self._writer.history.last_progress
        self._now = trio.lowlevel.current_clock().current_time
        self._allowance = Bucket(NOTIFICATIONS_PER_S, NOTIFICATIONS_BURST, self._now())

    @property
    def request_id(self) -> str:
        return current.get().id

    @property
    def user(self) -> str:
        return self._caller.principal.subject

    @property
    def owner(self) -> str:
        principal = self._caller.principal
        if not principal.issuer:
            return principal.subject
        return f"{principal.issuer}\n{principal.subject}"  # no subject holds an end of line

    @property
    def scopes(self) -> frozenset[str]:
        return self._caller.principal.scopes

    @property
    def session_id(self) -> str | None:
        return None if self._caller.session is None else self._caller.session.id

    @property
    def protocol_version(self) -> str:
        return self._caller.revision.name

    @property
    def client_info(self) -> Mapping[str, Any]:
        return self._caller.client_info

    @property
    def client_capabilities(self) -> Mapping[str, Any]:
        return self._caller.client_capabilities

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """MCP, "Progress": only for a token, only upwards, not too often."""
        if self._outlet is None or self._progress_token is msgspec.UNSET:
            await trio.lowlevel.checkpoint()
            return
        last = self._last_progress
        rises = last is None or progress > last
        if not rises or not (self._allowed() or progress == total):
            await trio.lowlevel.checkpoint()
            return
        self._last_progress = progress
        params: dict[str, Any] = {"progressToken": self._progress_token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None and self._caller.revision.progress_messages:
            params["message"] = message
        await self._notify(self._outlet, "notifications/progress", params)

    async def log(self, level: LogLevel, data: Any, logger: str | None) -> None:
        """MCP, "Logging": at or above the client's level, on this request's stream."""
        if self._outlet is None or not self._caller.wants_log(level) or not self._allowed():
            await trio.lowlevel.checkpoint()
            return
        params: dict[str, Any] = {"level": level, "data": data}
        if logger is not None:
            params["logger"] = logger
        await self._notify(self._outlet, "notifications/message", params)

    async def _notify(self, outlet: Outlet, method: str, params: dict[str, Any]) -> None:
        await outlet.post(bounded(encode_notification(method, params)))

    async def detach(self) -> None:
        """Only a call that may become a task can be detached; for others nothing happens."""
        await trio.lowlevel.checkpoint()

    async def close_stream(self, retry_after_s: float) -> None:
        """MCP 2025-11-25, transports: the server may close a stream that the client can resume."""
        if self._writer is not None and self._caller.revision.primes_streams:
            await self._writer.open()
            self._writer.readers.disconnect(round(retry_after_s * 1000))
        await trio.lowlevel.checkpoint()

    async def ask(self, questions: Sequence[Question]) -> list[Any]:
        """Check first that the client can be asked at all: what it did not declare it is never
        asked, in either era.
        """
        lacking: dict[str, Any] = {}
        for question in questions:
            lacks = missing_capability(question.capability, self._caller.client_capabilities)
            if lacks or not _has_question(self._caller.revision, question):
                lacking.update(question.capability)
        if lacking or self._asker is None:
            raise MissingClientCapability(
                f"The client cannot be asked: it did not declare {', '.join(lacking)}."
                if lacking
                else "The client cannot be asked: it does not read event streams.",
                data={"requiredCapabilities": lacking},
            )
        return await self._asker.ask(questions)

    def _allowed(self) -> bool:
        return self._allowance.consume(self._now()) == 0


def _has_question(revision: Revision, question: Question) -> bool:
    """Whether the revision has this kind of question at all."""
    needed = question.capability
    if "elicitation" in needed:
        return (
            revision.elicitation_modes if "url" in needed["elicitation"] else revision.elicitation
        )
    return revision.sampling_tools or not needed.get("sampling")


def _legal_token(token: Any) -> Any:
    """A legal token as it came, else UNSET: 0 and "" are legal (MCP, ProgressToken)."""
    return token if isinstance(token, str | int) and not isinstance(token, bool) else msgspec.UNSET
