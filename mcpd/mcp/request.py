"""A message with all that serving it needs: what every method is given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from mcpd.access.rights import Kind, Rights
from mcpd.errors import InternalError, InvalidParams
from mcpd.mcp.catalog.catalog import Catalog, Offered
from mcpd.mcp.catalog.tool_results import EncodedResult, error_result, too_large
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.envelope.params import Params
from mcpd.mcp.questions.conversation import Outlet
from mcpd.mcp.runtime import Runtime
from mcpd.rpc.messages import Call, Notification

T = TypeVar("T")

Result = dict[str, Any] | msgspec.Raw | EncodedResult  # the last two are complete
Target = Offered[Any]  # what a request names: a tool, a resource, a prompt


class McpRequest(msgspec.Struct, frozen=True):
    """A request, made once; ``dispatch.make_request`` makes it.

    Attributes:
        params: the members that several methods have in common.
        target: what it names in the catalog; None: it names nothing, or nothing that is there.
    """

    runtime: Runtime
    call: Call
    caller: Caller
    params: Params
    method: "Method"
    target: Target | None = None

    @property
    def may_stream(self) -> bool:
        """Whether serving it may send messages before its result."""
        return self.method.streams or (self.target is not None and self.target.part.wants_context)

    def encode(self, result: Result) -> bytes:
        """A result as JSON, with what the revision wants on each."""
        if isinstance(result, EncodedResult):
            return result.data
        if isinstance(result, msgspec.Raw):
            return bytes(result)
        if self.caller.revision.modern:
            result = self.runtime.catalog.add_result_meta(result, self.caller.revision)
        return _encode(result)

    def complete(self, result: Result) -> tuple[Result, bytes]:
        """A result and its JSON. A tool's that has more than max_result_bytes is replaced by one
        that says so, for its caller to read.

        Raises:
            InternalError: any other result that has more.
        """
        encoded = self.encode(result)
        limit = self.runtime.limits.max_result_bytes
        if self.target is not None:
            limit = getattr(self.target.part, "max_result_bytes", None) or limit
        if len(encoded) <= limit:
            return result, encoded
        words = too_large(len(encoded), limit)
        if self.call.method != "tools/call":
            raise InternalError(words)
        ends = self.runtime.catalog.result_ends
        replaced = error_result(words, self.caller.revision, ends)
        return replaced, replaced.data


class McpNotification(msgspec.Struct, frozen=True):
    """A notification from the client."""

    runtime: Runtime
    notification: Notification
    caller: Caller


Handler = Callable[[McpRequest, Outlet | None], Awaitable[Result]]
NotificationHandler = Callable[[McpNotification], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Method:
    """A method and where it exists.

    Attributes:
        handle: serves it; without an outlet nothing can be sent before the result.
        find: what its params name; None: they name nothing.
        kind: of what is found.
        costs: its requests count as calls (MCP, server/tools, "Security Considerations").
        streams: it may send messages whatever it names.
        repeatable: whether a request may be served again when it is not known how far its first
            run got.
        needs_tasks: it exists only in revisions that have tasks.
        farewell: it ends only with the client or the server: its result when the server ends it.
    """

    handle: Handler
    handshake: bool = True
    modern: bool = True
    find: Callable[[Catalog, Params, Rights], Target | None] | None = None
    kind: Kind = "tools"
    costs: bool = False
    streams: bool = False
    repeatable: Callable[[McpRequest], bool] | None = None
    needs_tasks: bool = False
    farewell: Callable[[McpRequest], Result] | None = None

    @property
    def may_stream(self) -> bool:
        """Whether any of its requests may."""
        return self.streams or self.find is not None


_encode = msgspec.json.Encoder().encode


def read_params(
    decoder: msgspec.json.Decoder[T], params: msgspec.Raw, *, member: str | None = None
) -> T:
    """Decode a method's own params.

    Args:
        member: what is given is this member of them, and an error says so.

    Raises:
        InvalidParams: they do not fit.
    """
    try:
        return decoder.decode(params)
    except msgspec.ValidationError as error:
        words = str(error)
        if member is not None:
            what, _, place = words.partition(" - at `$")
            words = f"{what} - at `$.{member}{place or '`'}"
        raise InvalidParams(f"The params are wrong: {words}.") from error
