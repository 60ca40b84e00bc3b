"""Messages written to the log, or not: a full log keeps no client from what it waits for."""

from collections.abc import Awaitable, Callable

import trio

from mcpd.errors import StoreError
from mcpd.mcp.streams.local_readers import LocalReaders
from mcpd.sessions.retry import STORE_AWAY_LIMIT_S, retry_while_away

FULL_RETRY_S = 1.0  # until a full log is asked again for the end of a call that no client reads

Write = Callable[[], Awaitable[None]]


async def keep(
    append: Callable[[], Awaitable[bool]],
    readers: LocalReaders,
    *,
    last: bool,
    write_later: Callable[[Write], None],
) -> bool:
    """Write messages. What a full log does not take goes out unkept; the end of a call waits a
    while for a client to read it here, and is written when there is room again.

    Args:
        append: writes them, again if need be; False: the stream is another process's.

    Returns False if the stream is not ours.

    Raises:
        StoreError: the store stayed away for STORE_AWAY_LIMIT_S.
    """

    async def append_later() -> None:
        await append()

    limit = trio.current_time() + STORE_AWAY_LIMIT_S
    while True:
        changed = readers.changed
        try:
            return bool(await retry_while_away(append))
        except StoreError as error:
            if not error.lasting:
                raise
        # whose stream it is was looked at before it was refused: it is ours
        if last and not readers.is_read and trio.current_time() < limit:
            with trio.move_on_after(FULL_RETRY_S):
                await changed.wait()
            continue
        if last:
            write_later(append_later)
        return True
