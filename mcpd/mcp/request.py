"""One message with all that serving it needs: what every method is given."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import trio

from mcpd.auth.seal import Sealer
from mcpd.errors import InvalidParams, TooManyRequests
from mcpd.limits.buckets import Buckets
from mcpd.mcp.catalog.catalog import Host
from mcpd.mcp.envelope.caller import Caller
from mcpd.mcp.in_flight import Running
from mcpd.mcp.questions.conversation import Notify
from mcpd.mcp.questions.server_requests import Questions
from mcpd.mcp.streams.change_feed import Broadcast
from mcpd.mcp.streams.hub import Streams
from mcpd.mcp.streams.writer import CallStream
from mcpd.mcp.tasks.registry import Tasks
from mcpd.rpc.messages import Call, Notice
from mcpd.sessions.service import Sessions

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Services:
    """What outlives every message."""

    host: Host
    sessions: Sessions
    running: Running
    questions: Questions
    broadcast: Broadcast
    streams: Streams
    tasks: Tasks
    sealer: Sealer
    call_rate: Buckets  # of tool calls and completions, for each principal

    def start_upkeep(self, nursery: trio.Nursery) -> None:
        """Run what needs a task of its own, in a nursery that outlives the connections."""
        nursery.start_soon(self.broadcast.run)
        nursery.start_soon(self.streams.run_upkeep)
        nursery.start_soon(self.tasks.run)


@dataclass(frozen=True, slots=True)
class Job:
    """A request. ``notify`` sends a notification on its own stream; None where there is none."""

    services: Services
    call: Call
    caller: Caller
    notify: Notify | None = None
    stream: CallStream | None = None  # the kept stream behind notify, where there is one


@dataclass(frozen=True, slots=True)
class NoticeJob:
    """A notification from the client."""

    services: Services
    notice: Notice
    caller: Caller


Result = dict[str, Any] | msgspec.Raw  # Raw: encoded and complete
Handler = Callable[[Job], Awaitable[Result]]
Farewell = Callable[[Job], Result]
NoticeHandler = Callable[[NoticeJob], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Method:
    """A method and where it exists.

    ``streams`` tells whether serving a job may send notifications; without it the answer is
    always a plain one. ``repeatable`` tells whether a job may be run again when nobody knows
    how far its first run got.
    """

    handle: Handler
    handshake: bool = True
    modern: bool = True
    streams: Callable[[Job], bool] | None = None
    repeatable: Callable[[Job], bool] | None = None
    needs_tasks: bool = False  # only in revisions that have tasks
    farewell: Farewell | None = None  # open-ended: its result when the server ends it


def limit_rate(job: Job) -> None:
    """Calls cost; MCP, server/tools, "Security Considerations": servers rate-limit them.

    Raises:
        TooManyRequests: the principal calls too often.
    """
    principal, services = job.caller.principal, job.services
    key = f"{principal.issuer} {principal.subject}"
    wait_s = services.call_rate.take(key, services.sessions.clock())
    if wait_s > 0:
        raise TooManyRequests(
            "You call too often.",
            fix="Call again later, or raise calls_per_minute.",
            headers=((b"retry-after", b"%d" % math.ceil(wait_s)),),
        )


def read_params(decoder: msgspec.json.Decoder[P], params: msgspec.Raw) -> P:
    """Decode a method's params.

    Raises:
        InvalidParams: they do not fit.
    """
    try:
        return decoder.decode(params)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"The params are wrong: {error}.") from error
