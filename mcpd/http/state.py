"""What the connections of one server share."""

from dataclasses import dataclass, field

from mcpd.http.bounds import Bounds
from mcpd.http.forwarded import TrustedProxies
from mcpd.http.messages import Endpoint
from mcpd.http.timers import Timers
from mcpd.limits.caps import BODIES, Cap
from mcpd.observer import Observer


@dataclass(slots=True)
class ServerState:
    """The endpoint, the bounds, and the state of all connections together."""

    endpoint: Endpoint
    bounds: Bounds
    observer: Observer = field(default_factory=Observer)
    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    timers: Timers = field(default_factory=Timers)
    bodies: Cap = field(default_factory=lambda: Cap(BODIES))
    # On the way out. Once one of these has changed it stays so; they change in this order.
    ready: bool = True  # to be sent new clients
    closes: bool = False  # every answer ends its connection
    draining: bool = False  # what is idle ends
