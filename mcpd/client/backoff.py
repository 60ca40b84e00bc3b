"""How long a client waits for a server that is away."""

import random

import trio

from mcpd.client.errors import Undeliverable

FIRST_RETRY_S = 0.1
MAX_RETRY_S = 5.0


class Backoff:
    """Pauses between tries, for at most ``wait_s`` seconds together.

    Args:
        what: what is tried, for the words at the end.
    """

    def __init__(self, wait_s: float, what: str) -> None:
        self._wait_s = wait_s
        self._what = what
        self._began = trio.current_time()
        self._delay_s = FIRST_RETRY_S
        self.tries = 0

    async def pause(self, reason: str, *, delay_s: float | None = None) -> None:
        """Wait before the next try, as long as the server asked for, and a little longer each time.

        Raises:
            Undeliverable: that would be beyond the bound; it says what was tried.
        """
        self.tries += 1
        backoff_s = self._delay_s * random.uniform(0.5, 1.0)
        self._delay_s = min(2 * self._delay_s, MAX_RETRY_S)
        delay_s = max(delay_s or 0.0, backoff_s)
        waited_s = trio.current_time() - self._began
        if waited_s + delay_s > self._wait_s:
            tries = "once" if self.tries == 1 else f"{self.tries} times in {waited_s:.0f} s"
            raise Undeliverable(
                f"{self._what} failed: {reason}. It was tried {tries}.",
                fix="Is the server running, and the URL right? --wait waits longer.",
            )
        await trio.sleep(delay_s)
