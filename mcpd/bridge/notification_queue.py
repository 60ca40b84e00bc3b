"""Notifications of the client, in their order and behind the handshake: JSON-RPC has no other way
to tell what came first.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from mcpd.client.messages import Outgoing

log = logging.getLogger("mcpd.bridge")

MAX_WAITING = 1000  # to be sent


class NotificationQueue:
    """One queue. ``gate`` is set when what comes now may go.

    Args:
        post: sends one.
        initialized: sends ``notifications/initialized``, if there is a session.
    """

    def __init__(
        self,
        post: Callable[[Outgoing], Awaitable[None]],
        initialized: Callable[[Outgoing], Awaitable[None]],
    ) -> None:
        self._post = post
        self._initialized = initialized
        self.gate = trio.Event()
        self.gate.set()
        self._in, self._out = trio.open_memory_channel[
            tuple[Outgoing, trio.Event, trio.Event | None]
        ](MAX_WAITING)

    def add(self, outgoing: Outgoing, *, is_initialized: bool) -> None:
        """Send it behind those before it; one too many is dropped."""
        before, after = self.gate, None
        if is_initialized:
            after = self.gate = trio.Event()  # what comes behind finds the session begun
        try:
            self._in.send_nowait((outgoing, before, after))
        except trio.WouldBlock:
            log.warning("a notification is lost: %d wait already", MAX_WAITING)
            if after is not None:
                after.set()

    async def run(self) -> None:
        """Send them, for ever."""
        async for outgoing, before, after in self._out:
            await before.wait()
            if after is None:
                await self._post(outgoing)
                continue
            try:
                await self._initialized(outgoing)
            finally:
                after.set()
