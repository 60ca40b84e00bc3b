"""What the connections of one server share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

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
    open_ended: dict[trio.CancelScope, Any] = field(default_factory=dict)  # streams → opener
    may_open: Callable[[Any], bool] | None = None  # whether a stream of this opener may be open
    # On the way out. Once one of these has changed it stays so; they change in this order.
    ready: bool = True  # to be sent new clients
    closes: bool = False  # every answer ends its connection
    draining: bool = False  # what is idle ends

    def end_streams(self, opened_by: Callable[[Any], bool] | None = None) -> None:
        """End open-ended streams, as a drain does: their clients come back, and are asked again for
        their credentials.

        Args:
            opened_by: tells by ``EventStream.opener`` which; None: all.
        """
        for scope, opener in list(self.open_ended.items()):
            if opened_by is None or opened_by(opener):
                scope.cancel()
