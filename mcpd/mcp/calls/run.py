"""Calls of the handshake era that may send messages before their result.

Such a call must outlive its connection, so it runs in a task of its own and writes to a kept
stream; the connection reads that. A client whose connection broke comes back for the rest, here or
to another process: see ``resume``.
"""

import math
from dataclasses import dataclass

import trio

from mcpd.errors import HandlerTimeout
from mcpd.mcp.dispatch import CANCELLED, Outcome, failed, serve
from mcpd.mcp.request import McpRequest
from mcpd.mcp.streams.writer import CallWriter, StreamLost
from mcpd.rpc.messages import encode_call
from mcpd.sessions.record import SessionId
from mcpd.sessions.stream_ids import new_stream_id
from mcpd.sessions.streams import KeptCall


@dataclass(frozen=True, slots=True)
class WriterOutlet:
    """The outlet of a kept call. A call that another process has now is stopped."""

    writer: CallWriter
    scope: trio.CancelScope

    async def send(self, message: bytes) -> None:
        """See ``Outlet``.

        Raises:
            StoreError: the store stayed away.
        """
        try:
            await self.writer.send(message)
        except StreamLost:
            self.scope.cancel()
        await trio.lowlevel.checkpoint()

    async def post(self, message: bytes) -> None:
        """See ``Outlet``."""
        try:
            await self.writer.post(message)
        except StreamLost:
            self.scope.cancel()
            await trio.lowlevel.checkpoint()


def kept_call(request: McpRequest, session_id: SessionId) -> KeptCall:
    """What is kept of a call, for another process to go on with it."""
    principal = request.caller.principal
    return KeptCall(
        session_id,
        new_stream_id(session_id, request.call.id),
        encode_call(request.call),
        principal.subject,
        principal.issuer,
        tuple(sorted(principal.rights.held.names or principal.scopes)),
        principal.credential,
        principal.token_type,
    )


def start(request: McpRequest, writer: CallWriter) -> None:
    """Run a call in a task of its own."""
    request.runtime.in_flight.start(_run_or_give_up, request, writer)


async def _run_or_give_up(request: McpRequest, writer: CallWriter) -> None:
    try:
        await run(request, writer)
    finally:
        writer.give_up()


async def run(request: McpRequest, writer: CallWriter) -> None:
    """Run a call to its end, whether a connection reads or not; one whose client left and does not
    come back ends sooner.

    Raises:
        StoreError: its answer could not be kept.

    Cancellation: the stream stays unfinished, for another process to go on with.
    """
    outcome, is_stopped = CANCELLED, False
    with _limit(request, writer) as scope:

        def stop() -> None:  # its client cancelled it, or its session is over
            nonlocal is_stopped
            is_stopped = True
            scope.cancel()

        writer.on_lost = scope.cancel
        outcome = await serve(request, WriterOutlet(writer, scope), stop=stop)
    if scope.cancelled_caught and writer.is_live and not is_stopped:
        outcome = failed(request.call.id, _late(request))
    await finish(request, writer, outcome)


def _limit(request: McpRequest, writer: CallWriter) -> trio.CancelScope:
    """A scope that ends the call at its limit, or at that for calls without a reader."""
    in_flight, readers = request.runtime.in_flight, writer.readers
    scope = trio.CancelScope(deadline=trio.current_time() + in_flight.limit_s)
    latest = scope.deadline

    def follow(is_read: bool) -> None:
        left = math.inf if is_read else trio.current_time() + in_flight.left_limit_s
        scope.deadline = min(latest, left)

    readers.on_presence = follow
    follow(bool(readers.names))
    return scope


def _late(request: McpRequest) -> HandlerTimeout:
    in_flight = request.runtime.in_flight
    return HandlerTimeout(
        f"The call took longer than {in_flight.limit_s:g} s, or {in_flight.left_limit_s:g} s"
        " without a client that reads its stream.",
        fix="Come back to the stream with Last-Event-ID, or raise request_timeout_s or"
        " left_call_timeout_s.",
    )


async def finish(request: McpRequest, writer: CallWriter, outcome: Outcome) -> None:
    """Write the answer of a call, unless another process has the call now.

    Raises:
        StoreError: it could not be kept.
    """
    try:
        await writer.finish(outcome.response)
    except StreamLost:
        return
    if writer.history.has_asked:
        await request.runtime.server_requests.forget(*writer.key)
