"""What outlives every message, made once for a server of any transport."""

import math
from dataclasses import dataclass

import trio

from mcpd.auth.access_control import AccessControl
from mcpd.auth.seal import Sealer
from mcpd.limits.policy import Limits
from mcpd.mcp.catalog.catalog import Catalog
from mcpd.mcp.in_flight import CallsInFlight
from mcpd.mcp.questions.server_requests import ServerRequests
from mcpd.mcp.streams.change_feed import ChangeFeed
from mcpd.mcp.streams.hub import StreamHub
from mcpd.mcp.tasks.registry import Tasks
from mcpd.observer import Observer
from mcpd.sessions.backend import Backend
from mcpd.sessions.service import Sessions


@dataclass(frozen=True, slots=True)
class Runtime:
    """What every message is served with."""

    catalog: Catalog
    sessions: Sessions
    in_flight: CallsInFlight
    server_requests: ServerRequests
    changes: ChangeFeed
    streams: StreamHub
    tasks: Tasks
    sealer: Sealer
    limits: Limits
    observer: Observer
    access: AccessControl

    def start_upkeep(self, nursery: trio.Nursery) -> None:
        """Run what needs a task of its own, in a nursery that outlives the connections."""
        nursery.start_soon(self.limits.allowances.run)
        nursery.start_soon(self.changes.run)
        nursery.start_soon(self.streams.run_upkeep)
        nursery.start_soon(self.tasks.run)


def make_runtime(
    catalog: Catalog,
    sessions: Sessions,
    sealer: Sealer,
    backend: Backend,
    limits: Limits,
    observer: Observer,
    access: AccessControl | None = None,
    *,
    request_timeout_s: float,
    left_call_timeout_s: float = math.inf,
) -> Runtime:
    """Wire them to each other: what ends with a session, what is told of a change."""
    streams = StreamHub(backend)
    changes = ChangeFeed(catalog.providers, backend.watches, streams)
    tasks = Tasks(
        caps=limits.caps,
        store=backend.tasks,
        bus=backend.bus,
        process=backend.process,
        clock=backend.clock,
    )
    tasks.on_change.append(lambda task: changes.task_changed(task.id))
    in_flight = CallsInFlight(
        sessions.active,
        backend.bus,
        caps=limits.caps,
        limit_s=request_timeout_s,
        left_limit_s=left_call_timeout_s,
    )
    sessions.active.on_end += [in_flight.end_session, streams.forget]
    return Runtime(
        catalog,
        sessions,
        in_flight,
        ServerRequests(backend.answers, backend.bus),
        changes,
        streams,
        tasks,
        sealer,
        limits,
        observer,
        AccessControl() if access is None else access,
    )
