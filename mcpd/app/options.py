"""Options of a declaration, checked by name when it is made."""

import difflib
from collections.abc import Mapping, Sequence

from mcpd.access.scopes import is_scope
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


def read_scopes(given: Sequence[str]) -> tuple[str, ...]:
    """The scopes that a declaration asks of its callers.

    Raises:
        DeclarationError: something of them is no scope (RFC 6749, section 3.3).
    """
    scopes = () if isinstance(given, str) else tuple(given)
    if isinstance(given, str) or not all(isinstance(scope, str) for scope in scopes):
        raise DeclarationError("scopes is a list of texts.", received=str(given)[:64])
    for scope in scopes:
        if not is_scope(scope) or "*" in scope:
            raise DeclarationError("That is no scope.", received=scope[:64], fix="Like files:read.")
    return tuple(dict.fromkeys(scopes))
