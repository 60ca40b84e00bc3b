"""GET /health, /health/live and /health/ready: for load balancers, supervisors and people."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from mcpd.errors import StoreError
from mcpd.http.answers import json_response
from mcpd.http.messages import Answer, Request
from mcpd.registration.description import Description
from mcpd.sessions.service import Sessions

LOOK_EVERY_S = 1.0  # at the store, however often health is asked for


@dataclass(slots=True)
class Health:
    """Liveness and readiness. A store that is away, or that cannot be written, is told, but
    stateless requests go on.

    Args:
        credentials_trouble: what is wrong with the store of credentials, in a word.
        is_ready: False from the moment on at which the server begins to stop.
        clock: seconds that only go forward.
    """

    sessions: Sessions
    description: Description
    is_ready: Callable[[], bool]
    credentials_trouble: Callable[[], str] = lambda: ""
    clock: Callable[[], float] = time.monotonic
    started: float = 0.0
    _store_state: str = ""
    _looked_at: float = float("-inf")
    _looking: trio.Lock = field(default_factory=trio.Lock)

    def __post_init__(self) -> None:
        self.started = self.clock()

    async def get(self, request: Request) -> Answer:
        """200 while new clients are welcome, 503 once the server begins to stop."""
        store_state = await self._look()
        body = {
            "status": self._status(store_state),
            "server": self.description.name,
            "version": self.description.version,
            "mcp_endpoint": self.description.endpoints(request)["mcp"],
            "auth_required": self.description.auth_required,
            "uptime_s": round(self.clock() - self.started, 3),
            "store": self._store(store_state),
        }
        return _answer(body, good=self.is_ready())

    async def live(self, request: Request) -> Answer:
        """200 for as long as the process answers at all; what is wrong beside
        that is not mended by a restart."""
        return _answer({"status": "ok"}, good=True)

    async def ready(self, request: Request) -> Answer:
        """200 if all that this server offers can be had here; else 503, with what is missing."""
        missing = await self.missing()
        return _answer(
            {"status": "not ready" if missing else "ok", "missing": missing}, good=not missing
        )

    async def missing(self) -> list[str]:
        """What cannot be had here now, in words."""
        store_state, missing = await self._look(), []
        if not self.is_ready():
            missing.append("draining")
        if store_state != "ok":
            missing.append(f"store {store_state}")
        if trouble := self.credentials_trouble():
            missing.append(f"credentials {trouble}")
        return missing

    @property
    def store_state(self) -> str:
        """``ok``, or in a word what is wrong, as of the last look."""
        return self._store_state

    def _status(self, store_state: str) -> str:
        if not self.is_ready():
            return "draining"
        good = store_state == "ok" and not self.credentials_trouble()
        return "ok" if good else "degraded"

    async def _look(self) -> str:
        """The state of the store, not older than LOOK_EVERY_S; one request at a time looks."""
        async with self._looking:
            if self.clock() - self._looked_at >= LOOK_EVERY_S:
                try:
                    self._store_state = await self.sessions.store.check()
                except StoreError:
                    self._store_state = "unavailable"
                self._looked_at = self.clock()
            return self._store_state

    def _store(self, state: str) -> dict[str, str]:
        store = {"kind": self.sessions.store.kind, "state": state}
        if trouble := self.sessions.store.trouble:
            store["reason"] = trouble
        return store


def _answer(body: dict[str, object], *, good: bool) -> Answer:
    headers = ((b"cache-control", b"no-store"),)
    return json_response(body, status=200 if good else 503, headers=headers)
