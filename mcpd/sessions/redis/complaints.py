"""What is logged while something goes wrong again and again: one line a minute for each kind."""

import logging

import trio

from mcpd.limits.seldom import Seldom


class Complaints:
    """Counts what it does not say, and says how often it was.

    Args:
        log: where it says it.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._kinds: dict[str, Seldom] = {}

    def say(self, kind: str, text: str, *, level: int = logging.WARNING) -> None:
        """Log it as seldom as ``Seldom`` lets its kind through.

        Args:
            kind: one of a few; each is remembered.
        """
        seldom = self._kinds.setdefault(kind, Seldom())
        if seldom.is_due(trio.current_time()):
            count = seldom.skipped
            more = f" ({count} more like this since the last line)" if count else ""
            self._log.log(level, "%s%s", text, more)
