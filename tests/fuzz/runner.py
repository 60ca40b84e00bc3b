"""Draw inputs for a target and look for one that breaks its property, as small as it gets."""

import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from tests.fuzz.known import find_known
from tests.fuzz.target import Target


@dataclass(frozen=True)
class Failure:
    """An input that breaks a property.

    Attributes:
        seed: the same seed finds it again; None: it is an example of the target.
        text: the traceback.
        key: the same for inputs that fail at the same place.
    """

    target: str
    seed: int | None
    value: Any
    text: str
    key: str


def describe(error: BaseException) -> str:
    """An error in one line: its type and its words."""
    return f"{type(error).__name__}: {error}"


def key_of(target: Target, error: BaseException) -> str:
    """Where an error comes from, without what differs from input to input."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{target.name} {type(error).__name__} {frame.filename}:{frame.lineno}"


def attempt(target: Target, value: Any) -> Exception | None:
    """What is wrong with one input, but for what is known."""
    try:
        target.check(value)
    except Exception as error:
        found = leaf_of(error)
        return None if find_known(target.name, describe(found)) else found
    return None


def leaf_of(error: Exception) -> Exception:
    """The failure within the groups that nurseries make of it."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def failure_of(target: Target, number: int | None, value: Any, error: Exception) -> Failure:
    """A failure with all that is needed to look into it."""
    text = "".join(traceback.format_exception(error))
    return Failure(target.name, number, value, text, key_of(target, error))


def run_examples(target: Target) -> list[Failure]:
    """Every example of the target."""
    found = []
    for value in target.examples:
        error = attempt(target, value)
        if error is not None:
            found.append(failure_of(target, None, value, error))
    return found


def run_seed(
    target: Target,
    number: int,
    count: int,
    *,
    passes: Callable[[str], bool] = lambda key: False,
    tried: Counter[str] | None = None,
    until: float = float("inf"),
) -> Failure | None:
    """Draw inputs with one seed; the smallest that fails, if any does.

    Args:
        count: how many inputs.
        passes: whether a failure of this key is left alone.
        tried: counts the inputs of each target.
        until: after this moment of time.monotonic every input passes.
    """
    failed: list[tuple[Any, Exception]] = []

    def check(value: Any) -> None:
        if time.monotonic() > until:
            return
        if tried is not None:
            tried[target.name] += 1
        error = attempt(target, value)
        if error is not None and not passes(key_of(target, error)):
            failed[:] = [(value, error)]
            raise error

    quiet = settings(
        max_examples=count,
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    try:
        seed(number)(quiet(given(target.inputs)(check)))()
    except Exception:
        if not failed:
            raise
        return failure_of(target, number, *failed[0])
    return None
