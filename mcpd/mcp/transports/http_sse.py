"""HTTP+SSE of 2024-11-05: messages go up with POST /messages and come down GET /sse.

The session lives as long as its stream. New clients use Streamable HTTP.
"""

from functools import partial
from urllib.parse import parse_qs

import trio
from msgspec.structs import replace

from mcpd.auth.authenticator import Authenticator, Identity, sent_by
from mcpd.errors import BadRequest, McpdError, StoreError, Unavailable
from mcpd.http import sse
from mcpd.http.messages import Answer, EventSink, EventStream, Request
from mcpd.mcp.envelope.classify import Era
from mcpd.mcp.permission import may_hear
from mcpd.mcp.runtime import Runtime
from mcpd.mcp.transports.channel import Channel, read
from mcpd.mcp.transports.opening import new_session
from mcpd.mcp.transports.wire import ACCEPTED, check_json, refusal
from mcpd.sessions.record import SessionId
from mcpd.sessions.retry import retry_while_away
from mcpd.sessions.service import gone
from mcpd.sessions.streams import SESSION_STREAM, EventLog

TRANSPORT = "http+sse"
MESSAGES_PATH = "/messages"
ROOM_AGAIN_S = 0.05  # until a full stream is looked at again
ROOM_S = 60.0  # for a slow reader; the connection of one that never reads ends earlier
END_S = 2.0  # for the session's end to reach the store


class HttpSse:
    """The endpoints /sse and /messages."""

    def __init__(
        self, runtime: Runtime, authenticator: Authenticator, *, max_body_bytes: int
    ) -> None:
        self._runtime = runtime
        self._authenticator = authenticator
        self._max_body_bytes = max_body_bytes

    async def get(self, request: Request) -> Answer:
        """Open the stream; its first event names where to post."""
        identity = await self._authenticate(request)
        principal, lasts_s = identity.principal, self._authenticator.left_s(identity)
        sessions = self._runtime.sessions
        session = replace(
            new_session(request, now=sessions.clock()),
            transport=TRANSPORT,
            issuer=principal.issuer,
            subject=principal.subject,
        )
        await self._runtime.limits.count(principal.key, principal.rights.limits.sessions)
        await sessions.open(session)
        request.activity.session = session.id
        await self._runtime.changes.watch(session.id, ())
        streams = self._runtime.streams

        async def run(sink: EventSink) -> None:
            try:
                held = self._runtime.limits.caps.streams.hold(
                    principal.key, each=principal.rights.limits.rules.streams_at_once
                )
                with held, sessions.active.stream(session.id):
                    endpoint = f"{MESSAGES_PATH}?session_id={session.id}".encode("ascii")
                    await sink.send(sse.event(endpoint, name="endpoint"))
                    with streams.open_reader(session.id, SESSION_STREAM, 0) as reader:
                        while events := await reader.next():
                            catalog = self._runtime.catalog
                            heard = (e for e in events if may_hear(catalog, e.data, principal))
                            await sink.send(b"".join(sse.event(event.data) for event in heard))
                            await self._forget_sent(session.id, events[-1].number)
            finally:
                with trio.move_on_after(END_S, shield=True):
                    await self._end(session.id)

        return EventStream(
            run, sse.STREAM_HEADERS, open_ended=True, lasts_s=lasts_s, opener=identity
        )

    async def _authenticate(self, request: Request) -> Identity:
        identity = await self._authenticator.authenticate(sent_by(request))
        principal = identity.principal
        request.activity.user = principal.subject
        await self._runtime.limits.count(principal.key, principal.rights.limits.requests)
        return identity

    async def _forget_sent(self, session_id: SessionId, number: int) -> None:
        """This transport has no way to come back for a message."""
        try:
            await self._runtime.streams.events.drop_through(session_id, number)
        except StoreError:
            return  # the next one takes this with it

    async def _end(self, session_id: str) -> None:
        try:
            await self._runtime.sessions.end(await self._runtime.sessions.find(session_id))
        except McpdError:
            return  # it ended otherwise, or the sweeper will see to it

    async def post(self, request: Request) -> Answer:
        """Take one message; what it is answered comes down the stream."""
        try:
            named = parse_qs(request.query).get("session_id", [""])[0]
            if not named:
                raise BadRequest("No session is named.", fix="POST to what /sse told.")
            session = await self._runtime.sessions.find(named)
            request.activity.session = session.id
            identity = await self._authenticate(request)
            principal = identity.principal
            session = await self._runtime.sessions.claim(session, principal)
            if session.transport != TRANSPORT:
                raise gone()
            if not await self._runtime.streams.events.has_room(session.id):
                raise Unavailable(
                    "The answers that wait on /sse are not read.",
                    fix="Read them, then post again.",
                    headers=((b"retry-after", b"1"),),
                )
            check_json(request.headers)
            body = await request.body(self._max_body_bytes)
            if not self._authenticator.holds(identity, identity.generation):  # it took its time
                principal = (await self._authenticate(request)).principal
                session = await self._runtime.sessions.claim(session, principal)
            limits = self._runtime.limits
            await limits.count(principal.key, principal.rights.limits.bytes, len(body))
        except McpdError as error:
            if error.status in (401, 403):
                raise
            return refusal(None, error)

        async def send(message: bytes) -> None:
            await self._put(session.id, message)

        channel = Channel(
            self._runtime, principal, session, send, served=frozenset({Era.HANDSHAKE})
        )
        self._runtime.in_flight.start(channel.receive, read(body))
        return ACCEPTED

    async def _put(self, session_id: SessionId, message: bytes) -> None:
        """Put an answer onto the stream; one that is not read waits, but not for ever."""
        streams = self._runtime.streams
        deadline = trio.current_time() + ROOM_S
        while trio.current_time() < deadline:
            if await retry_while_away(partial(_put_if_room, streams.events, session_id, message)):
                break
            await trio.sleep(ROOM_AGAIN_S)
        else:
            await retry_while_away(lambda: streams.events.put(session_id, message))
        streams.session_grew(session_id)


async def _put_if_room(events: EventLog, session_id: SessionId, message: bytes) -> bool:
    return await events.put(session_id, message, drop_oldest=False) is not None
