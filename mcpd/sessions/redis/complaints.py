"""What is logged when it goes wrong at every command: one line a minute for each kind."""

import logging

import trio

EVERY_S = 60.0  # for one kind of thing

log = logging.getLogger("mcpd.redis")


class Complaints:
    """Counts what it does not say, and says how often it was."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[float, int]] = {}  # → when it was said, and how often since

    def say(self, kind: str, text: str, *, level: int = logging.WARNING) -> None:
        """Log it, unless this kind was within EVERY_S."""
        now = trio.current_time()
        said, count = self._kinds.get(kind, (-EVERY_S, 0))
        if now - said < EVERY_S:
            self._kinds[kind] = (said, count + 1)
            return
        more = f" ({count} more like this in the last {now - said:.0f} s)" if count else ""
        log.log(level, "%s%s", text, more)
        self._kinds[kind] = (now, 0)
