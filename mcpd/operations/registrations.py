"""GET /registrations: who is registered, for the operator."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from mcpd.access.scopes import SCOPE_ADMIN
from mcpd.auth.authenticator import Authenticator, sent_by
from mcpd.errors import BadRequest, InsufficientScope
from mcpd.http.answers import json_response
from mcpd.http.messages import Answer, Request
from mcpd.registration.register import rfc_3339
from mcpd.sessions.record import Session, SessionId
from mcpd.sessions.service import Sessions

PAGE = 100
MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class RegistrationListing:
    """``open_to_loopback``: the server is bound to loopback in development mode."""

    sessions: Sessions
    authenticator: Authenticator
    open_to_loopback: bool

    async def get(self, request: Request) -> Answer:
        """One page, by ``?limit=N&after=SESSION_ID``."""
        await self._authorize(request)
        limit, after = _page(request.query)
        sessions = self.sessions
        store = sessions.store
        listed = await store.list(
            alive_since=sessions.clock() - sessions.timeout_s, limit=limit + 1, after=after
        )
        page = listed[:limit]
        body: dict[str, Any] = {
            "active_registrations": (await store.count()).total,
            "sessions": [session.id for session in page],
            "details": [_details(session) for session in page],
        }
        if len(listed) > limit:
            body["next"] = f"/registrations?limit={limit}&after={page[-1].id}"
        return json_response(body, headers=((b"cache-control", b"no-store"),))

    async def _authorize(self, request: Request) -> None:
        if self.open_to_loopback and request.peer.is_loopback:
            return
        identity = await self.authenticator.authenticate(sent_by(request))
        if not identity.principal.rights.has(SCOPE_ADMIN):
            raise InsufficientScope(
                f"Listing registrations takes the scope {SCOPE_ADMIN}.",
                fix=f"mcpd token create --sub YOUR_NAME --scope execute:mcp --scope {SCOPE_ADMIN}",
            )


def _details(session: Session) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "client_ip": session.address,
        "user_agent": session.user_agent,
        "client_info": {"name": session.client_name, "version": session.client_version},
        "capabilities": session.capabilities,
        "registered_at": rfc_3339(session.created_at),
        "last_activity": rfc_3339(session.last_activity),
        "state": session.state.value,
        "protocol_version": session.revision,
        "user": session.subject,
        "transport": session.transport,
    }


def _page(query: str) -> tuple[int, SessionId | None]:
    values = parse_qs(query)
    text = values.get("limit", [str(PAGE)])[0]
    if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= MAX_PAGE:
        raise BadRequest(f"limit is a number from 1 to {MAX_PAGE}.", received=text[:32])
    after = values.get("after", [""])[0]
    return int(text), SessionId(after) if after else None
