"""The calls that this process takes over from others, and lets go of."""

from collections.abc import Callable
from functools import partial

import trio

from mcpd.errors import StoreError
from mcpd.mcp.streams.retry_queue import RetryQueue
from mcpd.sessions.streams import CallOwnership, KeptCall, StreamKey

CLAIM_S = 5.0  # to take over a call, even if the client that waits for it goes away meanwhile


class Ownership:
    """What this process owns of the calls in a store.

    Args:
        is_written: whether this process writes a stream.
    """

    def __init__(
        self,
        store: CallOwnership,
        retries: RetryQueue,
        is_written: Callable[[StreamKey], bool],
    ) -> None:
        self._store = store
        self._retries = retries
        self._is_written = is_written
        self._claiming: set[StreamKey] = set()
        self._stopping = False

    async def claim(self, key: StreamKey) -> KeptCall | None:
        """Take over a call whose process is gone; None: there is nothing to take over.

        Cancellation: not before it is known whether the call is ours, for at most CLAIM_S. What
        was claimed must be gone on with at once, or disowned.
        """
        if self._stopping or key in self._claiming:
            return None
        self._claiming.add(key)
        doubtful, call = True, None
        try:
            with trio.move_on_after(CLAIM_S, shield=True):
                call = await self._store.claim(*key)
                doubtful = False
        except StoreError:
            return None
        finally:
            self._claiming.discard(key)
            if doubtful:
                self.disown_soon(key)
        return None if self._stopping or self._is_written(key) else call

    def disown_soon(self, key: StreamKey) -> None:
        """Tell the store that this process writes a stream no more; else others wait for it."""
        if not self._stopping:  # then everything is let go of at once
            self._retries.add(key, partial(self._disown, key))

    async def _disown(self, key: StreamKey) -> None:
        if not self._is_written(key) and key not in self._claiming:
            await self._store.disown(*key)

    def stop(self) -> None:
        """Claim nothing any more."""
        self._stopping = True
