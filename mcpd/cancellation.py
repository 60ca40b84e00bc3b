"""Cancellation told apart from failure, where one exception can hold both."""

from math import inf

import trio


def split_cancelled(
    error: BaseException,
) -> tuple[trio.Cancelled | None, BaseException | None]:
    """The cancellation in what a block raised, to be raised again, and the failure, to be logged.

    A group may hold both: a nursery that is cancelled while one of its tasks fails raises one.
    ``except Exception`` misses it, and a scope further out waits for its cancellation. Where no
    scope is cancelled none waits: such a ``Cancelled`` was kept from an earlier time, is a failure,
    and would end every task up to the root.
    """
    if trio.current_effective_deadline() != -inf:
        return None, error
    if isinstance(error, trio.Cancelled):
        return error, None
    if not isinstance(error, BaseExceptionGroup):
        return None, error
    cancelled, rest = error.split(trio.Cancelled)
    return _leaf(cancelled), rest


def _leaf(group: BaseExceptionGroup[trio.Cancelled] | None) -> trio.Cancelled | None:
    found: BaseException | None = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, trio.Cancelled) else None
