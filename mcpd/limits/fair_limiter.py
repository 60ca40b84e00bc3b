"""Who is next where only some run at once: one user after the other, not one call after the other.

A user who sends a hundred calls waits for the hundred; another's single call is next but one.
"""

from collections import OrderedDict, deque
from collections.abc import Callable

import trio


class _Waiting:
    """A task that waits for its turn."""

    __slots__ = ("borrower", "task")

    def __init__(self, task: trio.lowlevel.Task, borrower: object) -> None:
        self.task = task
        self.borrower = borrower


class FairLimiter:
    """As ``trio.CapacityLimiter``, for ``trio.to_thread.run_sync``: so many run at once, and those
    that wait get their turn by user, round and round. Belongs to the event loop.

    Args:
        total: that run at once.
        key: of the current task's user.
    """

    def __init__(self, total: int, key: Callable[[], str]) -> None:
        self.total = total
        self._key = key
        self._borrowers: set[object] = set()
        self._waiting: OrderedDict[str, deque[_Waiting]] = OrderedDict()

    def statistics(self) -> tuple[int, int]:
        """How many run, and how many wait."""
        return len(self._borrowers), sum(map(len, self._waiting.values()))

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Wait for a turn, and take it.

        Cancellation: while it waits; the turn goes to another.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if len(self._borrowers) < self.total and not self._waiting:
            self._borrowers.add(borrower)
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        key, waiting = self._key(), _Waiting(trio.lowlevel.current_task(), borrower)
        self._waiting.setdefault(key, deque()).append(waiting)

        def abort(_: object) -> trio.lowlevel.Abort:
            self._forget(key, waiting)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def release_on_behalf_of(self, borrower: object) -> None:
        """A turn is over.

        Raises:
            KeyError: it had none.
        """
        self._borrowers.remove(borrower)
        while self._waiting and len(self._borrowers) < self.total:
            key, queue = self._waiting.popitem(last=False)
            waiting = queue.popleft()
            if queue:
                self._waiting[key] = queue  # behind the others
            self._borrowers.add(waiting.borrower)
            trio.lowlevel.reschedule(waiting.task)

    def _forget(self, key: str, waiting: _Waiting) -> None:
        queue = self._waiting[key]
        queue.remove(waiting)
        if not queue:
            del self._waiting[key]
