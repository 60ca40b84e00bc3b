"""A reload of all workers, as one."""

import logging
from collections.abc import Sequence

import trio

from mcpd.server.child import Child
from mcpd.server.neighbours import Presence
from mcpd.server.reload import Reload
from mcpd.server.systemd import Notifier

log = logging.getLogger("mcpd.supervisor")

ANSWER_S = 10.0  # for every worker to say that it has reloaded


class WorkersReload:
    """Have all workers read their settings again, and tell what came of it.

    Args:
        check: reads what they will read, in this process.
    """

    def __init__(self, check: Reload, presence: Presence, notifier: Notifier) -> None:
        self._check = check
        self._presence = presence
        self._notifier = notifier
        self._turn = trio.Lock()

    async def run(self, children: Sequence[Child]) -> None:
        """Reload once. What cannot be read here is not tried in any worker."""
        async with self._turn:
            self._notifier.reloading()
            outcome = self._check()
            told, succeeded = outcome.told, outcome.succeeded
            if succeeded and (silent := await self._tell(children)):
                succeeded = False
                told = (
                    f"reload failed in workers {', '.join(map(str, silent))}: see their log lines"
                )
                log.error("%s", told)
            self._presence.reloaded(told, failed=not succeeded)
            self._notifier.ready("reloaded" if succeeded else "reload failed")

    async def _tell(self, children: Sequence[Child]) -> list[int]:
        """The workers that refused, or did not answer in time."""
        failed = {child.pid for child in children}

        async def reload(child: Child) -> None:
            if await child.reload():
                failed.discard(child.pid)

        with trio.move_on_after(ANSWER_S):
            async with trio.open_nursery() as nursery:
                for child in children:
                    nursery.start_soon(reload, child)
        return sorted(failed)
