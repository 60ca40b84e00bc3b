"""GET /health: for load balancers and people."""

import time
from dataclasses import dataclass, field

from mcpd.errors import StoreError
from mcpd.http.answers import json_response
from mcpd.http.messages import Answer, Request
from mcpd.registration.description import Description
from mcpd.sessions.service import Sessions


@dataclass(frozen=True, slots=True)
class Health:
    """Liveness and readiness. A store that is away is told, but stateless requests go on."""

    sessions: Sessions
    description: Description
    started: float = field(default_factory=time.monotonic)

    async def get(self, request: Request) -> Answer:
        """200 while requests are served at all."""
        store_state = await self._store_state()
        body = {
            "status": "ok" if store_state == "ok" else "degraded",
            "server": self.description.name,
            "version": self.description.version,
            "mcp_endpoint": self.description.endpoints(request)["mcp"],
            "auth_required": self.description.auth_required,
            "uptime_s": round(time.monotonic() - self.started, 3),
            "store": self._store(store_state),
        }
        return json_response(body, headers=((b"cache-control", b"no-store"),))

    async def _store_state(self) -> str:
        try:
            await self.sessions.store.count()
        except StoreError:
            return "unavailable"
        return "degraded" if self.sessions.store.trouble else "ok"

    def _store(self, state: str) -> dict[str, str]:
        store = {"kind": self.sessions.store.kind, "state": state}
        if trouble := self.sessions.store.trouble:
            store["reason"] = trouble
        return store
