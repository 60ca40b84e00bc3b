"""What an author's function raises must not end more than its own call."""

import logging
from typing import NoReturn

from mcpd.cancellation import split_cancelled

log = logging.getLogger("mcpd.tools")


class RunEnded(BaseException):
    """Ends a run of an author's function on behalf of mcpd, and so passes through it. Functions
    should not catch it.
    """


def raise_contained(name: str, error: BaseException) -> NoReturn:
    """Raise what may leave an author's function in the place of what is no ``Exception``.

    Cancellation and ``RunEnded`` pass, since a scope or a caller further out waits for them. All
    else (``SystemExit``, ``KeyboardInterrupt``, ``GeneratorExit``, ``asyncio.CancelledError``, an
    author's own class) would end every task of the process.

    Args:
        name: of the function, for the log.

    Raises:
        RuntimeError: in the place of what would end the process.
        trio.Cancelled, RunEnded: as they came, or out of a group; the rest of it is logged.
    """
    passing: BaseException | None
    passing, rest = split_cancelled(error)
    if passing is None:
        passing, rest = _split_ended(error)
    if passing is None:
        raise RuntimeError(
            f"{name} raised {_names(error)}, which is meant to end a process or a task"
        ) from error
    if rest is not None:
        log.error("%s failed while it was ended", name, exc_info=rest)
    raise passing


def _split_ended(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    if isinstance(error, BaseExceptionGroup):
        return error.split(RunEnded)
    return (error, None) if isinstance(error, RunEnded) else (None, error)


def _names(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(dict.fromkeys(_names(part) for part in error.exceptions))
    return type(error).__name__
