"""The memory that the bodies of all connections take, while they arrive and while they are served.

What came with its head is not counted: connections bound it, with READ_BYTES each.
"""

from mcpd.http.addresses import limit_key
from mcpd.http.messages import Request
from mcpd.limits.caps import Cap


class BodyMemory:
    """What one connection has of it."""

    __slots__ = ("_cap", "_held", "_key")

    def __init__(self, cap: Cap) -> None:
        self._cap = cap
        self._key = ""
        self._held = 0

    def grow(self, size: int, request: Request | None) -> None:
        """The body has so many bytes by now. It counts for the user, where the request is known to
        have one, else for the address.

        Raises:
            TooManyRequests, Unavailable: there is no memory for it.
        """
        if not self._held and request is not None:
            self._key = request.activity.user or limit_key(request.peer.address)
        self._cap.take(self._key, size - self._held)
        self._held = size

    def release(self) -> None:
        """The request is over."""
        if self._held:
            self._cap.give_back(self._key, self._held)
            self._held = 0
