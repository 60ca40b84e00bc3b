"""What outlives every message, made once for a server of any transport."""

from mcpd.auth.seal import Sealer
from mcpd.limits.buckets import Buckets
from mcpd.mcp.asking import Questions
from mcpd.mcp.broadcast import Broadcast
from mcpd.mcp.host import Host
from mcpd.mcp.job import Services
from mcpd.mcp.recovery import Recovery
from mcpd.mcp.running import Running
from mcpd.mcp.streams import Streams
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
