"""Options of a declaration, checked by name when it is made."""

import difflib
from collections.abc import Mapping

from mcpd.errors import DeclarationError


def check_options(what: str, known: type, given: Mapping[str, object]) -> None:
    """Refuse options that a declaration does not have.

    Args:
        what: is declared, in a word.
        known: a TypedDict of the options that there are.

    Raises:
        DeclarationError: with the nearest name.
    """
    names = known.__annotations__
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise DeclarationError(
                f"A {what} has no option {name}.",
                fix=f"Did you mean {near[0]}?" if near else f"It has {', '.join(names)}.",
            )
