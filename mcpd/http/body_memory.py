"""The memory that the bodies of all connections take, while they arrive and while they are served.

A body of known length is counted as a whole before it is read: of many at once the first are
served, where all would be cut off halfway if each were counted as it comes. Holding room that is
not used costs a user nothing but its own part.

What came with its head is not counted: connections bound it, with READ_BYTES each.
"""

from mcpd.http.addresses import limit_key
from mcpd.http.messages import Request
from mcpd.limits.caps import Cap


class BodyMemory:
    """What one connection has of it."""

    __slots__ = ("_cap", "_key", "held")

    def __init__(self, cap: Cap) -> None:
        self._cap = cap
        self._key = ""
        self.held = 0  # bytes

    def grow(self, size: int, request: Request | None) -> None:
        """The body has, or will have, so many bytes; fewer than before are no news. It counts for
        the user, where the request is known to have one, else for the address.

        Raises:
            TooManyRequests, Unavailable: there is no memory for it.
        """
        if size <= self.held:
            return
        if not self.held and request is not None:
            self._key = request.activity.user or limit_key(request.peer.address)
        self._cap.take(self._key, size - self.held)
        self.held = size

    def release(self) -> None:
        """The request is over."""
        if self.held:
            self._cap.give_back(self._key, self.held)
            self.held = 0
