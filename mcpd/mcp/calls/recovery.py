"""Calls whose process is gone: another one goes on with them when their client comes back.

A call that does no harm when it runs twice is run again: it is told what the client answered to
the first run, and does not ask that again. Any other call is answered with what can be said.
"""

import logging
from functools import partial

import msgspec

from mcpd.auth.principals import Principal
from mcpd.errors import InternalError, McpdError, StoreError
from mcpd.mcp import dispatch
from mcpd.mcp.catalog.tool_results import error_result
from mcpd.mcp.envelope.caller import caller_of_session
from mcpd.mcp.request import Job, Method, Services
from mcpd.mcp.revisions import ASSUMED_WITHOUT_HEADER, HANDSHAKE
from mcpd.mcp.streams.writer import CallStream, StreamLost, patiently
from mcpd.mcp.transports.call_streams import serve_call
from mcpd.rpc.messages import Call, decode, encode_error, encode_result
from mcpd.sessions.log import Event, KeptCall

log = logging.getLogger("mcpd.mcp")

INTERRUPTED = (
    "The server process that ran this call ended before the call was done. It is not known how"
    " far it got: see what it has changed before you call again."
)


class Recovery:
    """Goes on with calls in this process."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def adopt(self, kept: KeptCall) -> None:
        """Begin to go on with a call that this process has claimed; its writer is there when
        this returns.
        """
        self._services.running.start(self._try, kept, self._services.streams.write(kept))

    async def _try(self, kept: KeptCall, stream: CallStream) -> None:
        try:
            await self._go_on(kept, stream)
        finally:
            stream.give_up()  # does nothing to one that is finished

    async def _go_on(self, kept: KeptCall, stream: CallStream) -> None:
        stream.go_on(await self._written(kept))
        call = decode(kept.request)
        if not isinstance(call, Call):
            raise TypeError("only calls are kept")
        try:
            job = await self._job(kept, call)
            method = dispatch.find_method(job)
        except McpdError as error:
            await _finish(stream, encode_error(call.id, error))
            return
        if method.repeatable is not None and method.repeatable(job):
            log.info("going on with %s, whose process is gone", call.method)
            await serve_call(job, method, stream)
        else:
            log.warning("%s was interrupted: its process is gone", call.method)
            await _finish(stream, _interrupted(job, method))

    async def _written(self, kept: KeptCall) -> list[Event]:
        """What the process that is gone has sent."""
        read = partial(self._services.streams.log.read, kept.session_id, kept.stream_id)
        events: list[Event] = []
        while page := await patiently(partial(read, events[-1].number if events else 0)):
            if not page.events:
                break
            events += page.events
        return events

    async def _job(self, kept: KeptCall, call: Call) -> Job:
        """The call as it was made, by whoever made it.

        Raises:
            SessionNotFound: its session is over.
            StoreError: the store stayed away.
        """
        session = await patiently(lambda: self._services.sessions.find(kept.session_id))
        principal = Principal(kept.subject, kept.issuer, frozenset(kept.scopes))
        revision = HANDSHAKE.get(session.revision or "", ASSUMED_WITHOUT_HEADER)
        return Job(self._services, call, caller_of_session(session, principal, revision))


def _interrupted(job: Job, method: Method) -> bytes:
    if job.call.method == "tools/call":
        return encode_result(job.call.id, msgspec.json.encode(error_result(INTERRUPTED)))
    return encode_error(job.call.id, InternalError(INTERRUPTED))


async def _finish(stream: CallStream, body: bytes) -> None:
    try:
        await stream.finish(body)
    except (StreamLost, StoreError) as error:
        log.warning("an interrupted call could not be answered: %s", type(error).__name__)
