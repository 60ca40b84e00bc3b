"""Who is next where only some run at once: one user after the other, not one call after the other.

A user who sends a hundred calls waits for the hundred; another's single call is next but one.
"""

from collections import OrderedDict, deque
from collections.abc import Callable

import trio

KEPT_OF = 8


class _Waiting:
    """A task that waits for its turn."""

    __slots__ = ("borrower", "task")

    def __init__(self, task: trio.lowlevel.Task, borrower: object) -> None:
        self.task = task
        self.borrower = borrower


class FairLimiter:
    """As ``trio.CapacityLimiter``, for ``trio.to_thread.run_sync``: so many run at once, and those
    that wait get their turn by user, round and round. Belongs to the event loop.

    One turn in KEPT_OF is kept for users that have none: a user whose calls take long does not take
    them all.

    Args:
        total: that run at once.
        key: of the current task's user.
    """

    def __init__(self, total: int, key: Callable[[], str]) -> None:
        self.total = total
        self._key = key
        self._most = total - total // KEPT_OF  # of one user
        self._borrowers: dict[object, str] = {}
        self._running: dict[str, int] = {}
        self._waiting: OrderedDict[str, deque[_Waiting]] = OrderedDict()

    def statistics(self) -> tuple[int, int]:
        """How many run, and how many wait."""
        return len(self._borrowers), sum(map(len, self._waiting.values()))

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Wait for a turn, and take it.

        Cancellation: while it waits; the turn goes to another.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        key = self._key()
        if key not in self._waiting and self._may_run(key):
            self._begin(borrower, key)
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        waiting = _Waiting(trio.lowlevel.current_task(), borrower)
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
        self._end(self._borrowers.pop(borrower))
        for key in list(self._waiting):
            if len(self._borrowers) >= self.total:
                return
            if self._may_run(key):
                queue = self._waiting.pop(key)
                waiting = queue.popleft()
                if queue:
                    self._waiting[key] = queue  # behind the others
                self._begin(waiting.borrower, key)
                trio.lowlevel.reschedule(waiting.task)

    def _may_run(self, key: str) -> bool:
        if len(self._borrowers) >= self.total:
            return False
        return self._running.get(key, 0) < self._most

    def _begin(self, borrower: object, key: str) -> None:
        self._borrowers[borrower] = key
        self._running[key] = self._running.get(key, 0) + 1

    def _end(self, key: str) -> None:
        left = self._running[key] - 1
        if left:
            self._running[key] = left
        else:
            del self._running[key]

    def _forget(self, key: str, waiting: _Waiting) -> None:
        queue = self._waiting[key]
        queue.remove(waiting)
        if not queue:
            del self._waiting[key]
