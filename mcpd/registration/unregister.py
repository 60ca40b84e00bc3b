"""POST /unregister: end a session. The same as DELETE on the MCP endpoint."""

from dataclasses import dataclass

import msgspec

from mcpd.auth.authenticator import Authenticator, sent_by
from mcpd.errors import BadRequest
from mcpd.http.answers import json_response
from mcpd.http.messages import Answer, Request
from mcpd.mcp.envelope.headers import session_named
from mcpd.registration.parse_body import MAX_REGISTRATION_BYTES
from mcpd.sessions.service import Sessions


class _Body(msgspec.Struct):
    session_id: str | None = None


_body = msgspec.json.Decoder(_Body)


@dataclass(frozen=True, slots=True)
class Unregister:
    """A session with a principal is ended by that principal; one without, by its id."""

    sessions: Sessions
    authenticator: Authenticator

    async def post(self, request: Request) -> Answer:
        """End the session that the body or the header names."""
        named = await self._named(request)
        if not named:
            raise BadRequest(
                "No session is named.",
                fix='Send {"session_id": "..."} or the header Mcp-Session-Id.',
            )
        request.activity.session = named[:64]
        session = await self.sessions.find(named)
        if session.subject is not None:
            identity = await self.authenticator.authenticate(sent_by(request))
            session = await self.sessions.claim(session, identity.principal)
        await self.sessions.end(session)
        return json_response({"success": True, "message": "The session has ended."})

    async def _named(self, request: Request) -> str | None:
        body = await request.body(MAX_REGISTRATION_BYTES)
        try:
            named = _body.decode(body).session_id if body.strip() else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(
                "The body is not a JSON object with a string session_id.",
                fix='Send {"session_id": "..."}.',
            ) from error
        return named or session_named(request.headers)
