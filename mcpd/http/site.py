"""What the connections of one server share."""

from dataclasses import dataclass, field

from mcpd.http.bounds import Bounds
from mcpd.http.forwarded import TrustedProxies
from mcpd.http.messages import AccessLog, Endpoint
from mcpd.http.timers import Timers


@dataclass(slots=True)
class Site:
    """The endpoint, the bounds, and the state of all connections together."""

    endpoint: Endpoint
    bounds: Bounds
    access_log: AccessLog
    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    timers: Timers = field(default_factory=Timers)
    draining: bool = False  # on the way out; once true it stays so
