"""What fuzzing has found and what is not mended yet: such a failure is passed over.

Each entry has an input that shows it, and a test holds it to that: an entry whose input passes
has to go.
"""

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Known:
    """A failure that is known.

    Attributes:
        target: its name.
        value: the smallest input.
        says: a regular expression for the error as ``describe`` has it.
        reason: what is wrong, what should be.
    """

    target: str
    value: Any
    says: str
    reason: str


KNOWN: list[Known] = []


def find_known(target: str, description: str) -> Known | None:
    """The entry for a failure of this target."""
    return next(
        (k for k in KNOWN if k.target == target and re.match(k.says, description, re.DOTALL)), None
    )
