"""What waits for a store that is away."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from mcpd.errors import StoreError

STORE_AWAY_LIMIT_S = 60.0  # for a store that is away: calls under way wait for it
FIRST_RETRY_S = 0.1
MAX_RETRY_S = 2.0


async def retry_while_away(write: Callable[[], Awaitable[Any]]) -> Any:
    """Try again while the store is away, for STORE_AWAY_LIMIT_S.

    Raises:
        StoreError: it stayed away, or will for long (``lasting``).
    """
    delay_s, waited_s = FIRST_RETRY_S, 0.0
    while True:
        try:
            return await write()
        except StoreError as error:
            if error.lasting or waited_s >= STORE_AWAY_LIMIT_S:
                raise
        await trio.sleep(delay_s)
        waited_s += delay_s
        delay_s = min(2 * delay_s, MAX_RETRY_S)
