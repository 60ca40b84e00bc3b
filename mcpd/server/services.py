"""What outlives every message, made once for a server of any transport."""

from mcpd.auth.seal import Sealer
from mcpd.limits.buckets import Buckets
from mcpd.mcp.calls.recovery import Recovery
from mcpd.mcp.catalog.catalog import Host
from mcpd.mcp.in_flight import Running
from mcpd.mcp.questions.server_requests import Questions
from mcpd.mcp.request import Services
from mcpd.mcp.streams.change_feed import Broadcast
from mcpd.mcp.streams.hub import Streams
from mcpd.mcp.tasks.registry import Tasks
from mcpd.sessions.backend import Backend
from mcpd.sessions.service import Sessions


def make_services(
    host: Host,
    sessions: Sessions,
    sealer: Sealer,
    backend: Backend,
    *,
    calls_per_minute: float,
    request_timeout_s: float,
) -> Services:
    """Wire them to each other: what ends with a session, what is told of a change."""
    burst = max(1, int(calls_per_minute / 10))
    call_rate = Buckets(per_minute=calls_per_minute, burst=burst)
    log, bus = backend.log, backend.bus
    running, streams = Running(sessions.presence, bus, limit_s=request_timeout_s), Streams(log, bus)
    broadcast = Broadcast(host.apps, streams)
    sessions.presence.on_end += [running.end_session, streams.forget]
    tasks = Tasks(shelf=backend.tasks, bus=bus, process=backend.process)
    tasks.on_change.append(lambda task: broadcast.task_changed(task.id))
    services = Services(
        host,
        sessions,
        running,
        Questions(log, bus),
        broadcast,
        streams,
        tasks,
        sealer,
        call_rate,
    )
    streams.adopt = Recovery(services).adopt
    return services
