"""What is logged while something goes wrong again and again: one line a minute for each kind."""

import logging

import trio

from mcpd.limits.seldom import SAY_EVERY_S


class Complaints:
    """Counts what it does not say, and says how often it was.

    Args:
        log: where it says it.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._kinds: dict[str, tuple[float, int]] = {}  # → when it was said, and how often since

    def say(self, kind: str, text: str, *, level: int = logging.WARNING) -> None:
        """Log it, unless this kind was within SAY_EVERY_S.

        Args:
            kind: one of a few; each is remembered.
        """
        now = trio.current_time()
        said, count = self._kinds.get(kind, (-SAY_EVERY_S, 0))
        if now - said < SAY_EVERY_S:
            self._kinds[kind] = (said, count + 1)
            return
        more = f" ({count} more like this in the last {now - said:.0f} s)" if count else ""
        self._log.log(level, "%s%s", text, more)
        self._kinds[kind] = (now, 0)
