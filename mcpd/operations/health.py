"""GET /health: for load balancers and people."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mcpd.errors import StoreError
from mcpd.http.answers import json_response
from mcpd.http.messages import Answer, Request
from mcpd.registration.description import Description
from mcpd.sessions.service import Sessions


@dataclass(frozen=True, slots=True)
class Health:
    """Liveness and readiness. A store that is away is told, but stateless requests go on.

    Args:
        is_ready: False from the moment on at which the server begins to stop.
    """

    sessions: Sessions
    description: Description
    is_ready: Callable[[], bool]
    started: float = field(default_factory=time.monotonic)

    async def get(self, request: Request) -> Answer:
        """200 while new clients are welcome, 503 once the server begins to stop."""
        store_state = await self._store_state()
        body = {
            "status": self._status(store_state),
            "server": self.description.name,
            "version": self.description.version,
            "mcp_endpoint": self.description.endpoints(request)["mcp"],
            "auth_required": self.description.auth_required,
            "uptime_s": round(time.monotonic() - self.started, 3),
            "store": self._store(store_state),
        }
        status = 200 if self.is_ready() else 503
        return json_response(body, status=status, headers=((b"cache-control", b"no-store"),))

    def _status(self, store_state: str) -> str:
        if not self.is_ready():
            return "draining"
        return "ok" if store_state == "ok" else "degraded"

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
