"""POST /register: open a session and tell the client everything it needs to go on."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from mcpd.errors import BadRequest, MethodNotAllowed, TooManyRequests
from mcpd.events import Registered
from mcpd.http.addresses import limit_key
from mcpd.http.answers import json_response
from mcpd.http.messages import Answer, Request, Response
from mcpd.limits.policy import Limits
from mcpd.mcp.envelope.headers import HEADER_SESSION, HEADER_SESSION_ALIAS
from mcpd.mcp.methods.lifecycle import MAX_CAPABILITIES_BYTES
from mcpd.mcp.transports.opening import new_session
from mcpd.observer import Observer
from mcpd.registration.description import TOKEN_HINT, Description
from mcpd.registration.parse_body import (
    MAX_REGISTRATION_BYTES,
    BodyKind,
    UnreadableRegistration,
    client_of,
    read_registration,
)
from mcpd.sessions.record import MAX_NAME_CHARS, MAX_VERSION_CHARS, Session, clean_label
from mcpd.sessions.service import Sessions


class OAuthIsOff(BadRequest):
    """400 in RFC 7591's shape: this server takes a bearer token instead."""

    slug = "invalid_client_metadata"


@dataclass(slots=True)
class Registrations:
    """The endpoint behind /register, /api/register and /mcp/register."""

    sessions: Sessions
    description: Description
    limits: Limits
    observer: Observer = field(default_factory=Observer)

    async def post(self, request: Request) -> Answer:
        """Register; each kind of registration and its outcome is counted."""
        await self._limit(request)
        try:
            kind, members = read_registration(await request.body(MAX_REGISTRATION_BYTES))
        except UnreadableRegistration:
            self.observer.tell(Registered("unknown", "refused"))
            raise
        if kind is BodyKind.OAUTH_CLIENT:
            self.observer.tell(Registered("oauth", "refused"))
            raise self._oauth_is_off(request)
        session = self._session(request, members)
        await self.sessions.open(session)
        self.observer.tell(Registered("session", "accepted"))
        request.activity.session = session.id
        return self._welcome(request, session)

    async def get(self, request: Request) -> Answer:
        """A confused client, or a person in a browser: say how it is done."""
        raise MethodNotAllowed(
            "Registering is done with POST.",
            received=request.method,
            fix='POST {"client_info": {"name": "...", "version": "..."}} here.',
            headers=((b"allow", b"POST, OPTIONS"),),
            data={
                "mcp_endpoint": self.description.endpoints(request)["mcp"],
                "client_configuration": self.description.client_configuration(request),
                "how_to_get_a_token": TOKEN_HINT,
            },
        )

    async def _limit(self, request: Request) -> None:
        if request.peer.is_loopback and not self.limits.limit_loopback:
            return
        try:
            key = limit_key(request.peer.address)
            await self.limits.count(key, self.limits.registrations)
        except TooManyRequests:
            self.observer.tell(Registered("unknown", "limited"))
            raise

    def _session(self, request: Request, members: dict[str, Any]) -> Session:
        info, capabilities = client_of(members)
        encoded = msgspec.json.encode(capabilities)
        if len(encoded) > MAX_CAPABILITIES_BYTES:
            raise BadRequest(f"capabilities has more than {MAX_CAPABILITIES_BYTES} bytes.")
        session: Session = replace(
            new_session(request, now=self.sessions.clock()),
            client_name=clean_label(info.get("name"), MAX_NAME_CHARS),
            client_version=clean_label(info.get("version"), MAX_VERSION_CHARS),
            capabilities=msgspec.Raw(encoded),
        )
        return session

    def _welcome(self, request: Request, session: Session) -> Response:
        description = self.description
        expires_at = session.created_at + self.sessions.timeout_s
        body = {
            "success": True,
            "session_id": session.id,
            "server": description.server(),
            "endpoints": description.endpoints(request),
            "transport": session.transport,
            "authentication": description.authentication(),
            "capabilities": description.features(),
            "instructions": description.instructions(),
            "expires_at": rfc_3339(expires_at),
        }
        session_id = session.id.encode("ascii")
        return json_response(
            body,
            headers=(
                (HEADER_SESSION, session_id),
                (HEADER_SESSION_ALIAS, session_id),
                (b"cache-control", b"no-store"),
            ),
        )

    def _oauth_is_off(self, request: Request) -> OAuthIsOff:
        return OAuthIsOff(
            "This server does not register OAuth clients: it takes a bearer token.",
            fix=f"{TOKEN_HINT}; then set the header Authorization: Bearer TOKEN for"
            f" {self.description.endpoints(request)['mcp']} in the client.",
            headers=((b"cache-control", b"no-store"),),
        )


def rfc_3339(seconds: float) -> str:
    """Unix seconds as UTC text."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
