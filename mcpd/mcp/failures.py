"""What a client is told when an author's function fails."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from mcpd.errors import InternalError, McpdError
from mcpd.observer import current

log = logging.getLogger("mcpd.tools")


def explain_failure(name: str, error: Exception) -> str:
    """An author's own words if they meant to speak, else an id and nothing of the inside."""
    leaf: BaseException = error
    while isinstance(leaf, BaseExceptionGroup) and len(leaf.exceptions) == 1:
        leaf = leaf.exceptions[0]  # a nursery wrapped it
    if isinstance(leaf, McpdError):
        return leaf.message
    log.error("%s failed", name, exc_info=error)
    return f"{name} failed. The server's log has the reason under {current.get().id}."


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Around a function whose failure is a JSON-RPC error: resources, prompts, completion.

    Raises:
        InternalError: the function failed.
        McpdError: what the function meant to say, as it is.
    """
    try:
        yield
    except McpdError:
        raise
    except Exception as error:
        raise InternalError(explain_failure(name, error)) from error


def first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one failure out of a nursery's group; the others were cancelled because of it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        failures = [e for e in error.exceptions if not isinstance(e, trio.Cancelled)]
        error = failures[0] if failures else error.exceptions[0]
    return error
