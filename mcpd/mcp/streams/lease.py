"""Whether a reader is the one that is served, over all processes of a store."""

from enum import Enum, auto

from mcpd.sessions.streams import DeliveryLease, StreamKey


class LeaseState(Enum):
    """What a reader knows of its lease."""

    UNSURE = auto()  # the store is to be asked
    HELD = auto()  # this reader is served
    WAITING = auto()  # another one is


class LeaseMove(Enum):
    """What can happen to it."""

    ACQUIRE = auto()  # the store gave it to this reader
    REFUSE = auto()  # the store has it for another one
    DOUBT = auto()  # a signal came, or time has passed


MOVES: dict[LeaseState, dict[LeaseMove, LeaseState]] = {
    LeaseState.UNSURE: {
        LeaseMove.ACQUIRE: LeaseState.HELD,
        LeaseMove.REFUSE: LeaseState.WAITING,
        LeaseMove.DOUBT: LeaseState.UNSURE,
    },
    LeaseState.HELD: {LeaseMove.DOUBT: LeaseState.UNSURE},
    LeaseState.WAITING: {LeaseMove.DOUBT: LeaseState.UNSURE},
}


class Lease:
    """One reader's claim to be served.

    Args:
        store: what all processes agree on.
        reader: a name that no other reader has.
        returning: its client was here before, and so takes over from the reader that is served.
    """

    def __init__(
        self, store: DeliveryLease, key: StreamKey, reader: str, *, returning: bool
    ) -> None:
        self.state = LeaseState.UNSURE if returning else LeaseState.HELD
        self.was_acquired = False  # as the store has it
        self._store = store
        self._key = key
        self._reader = reader
        self._force = returning

    def _move(self, move: LeaseMove) -> None:
        self.state = MOVES[self.state][move]

    def doubt(self) -> None:
        """It is to be looked at again."""
        self._move(LeaseMove.DOUBT)

    async def acquire(self) -> int:
        """Ask the store; returns how far the last reader that left had got, if it is ours.

        Raises:
            StoreError: that cannot be told now.
        """
        reached = await self._store.acquire(*self._key, self._reader, force=self._force)
        self._force = False
        self._move(LeaseMove.REFUSE if reached is None else LeaseMove.ACQUIRE)
        self.was_acquired = self.was_acquired or reached is not None
        return reached or 0

    async def release(self, reached: int) -> None:
        """The reader left, and got that far.

        Raises:
            StoreError: the store was not told.
        """
        await self._store.release(*self._key, self._reader, reached)
