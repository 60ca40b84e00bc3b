"""Scopes (RFC 6749, section 3.3), of which broader ones contain narrower ones. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mcpd.patterns import fits

SCOPE_EXECUTE = "execute:mcp"
SCOPE_ADMIN = "admin:mcp"
CONTAINED = {SCOPE_ADMIN: (SCOPE_EXECUTE,)}  # whatever the configuration adds


def is_scope(text: str) -> bool:
    """Whether it is one scope: printable ASCII without space, quote and backslash (RFC 6749,
    section 3.3).
    """
    return bool(text) and text.isascii() and text.isprintable() and not set(text) & set(' "\\')


@dataclass(frozen=True, slots=True)
class ScopeSet:
    """Scopes with all that they contain.

    Attributes:
        names: one by one.
        patterns: with ``*``; only the configuration has them, no credential.
    """

    names: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()

    def __contains__(self, scope: str) -> bool:
        return scope in self.names or any(fits(scope, p) for p in self.patterns)


NO_SCOPES = ScopeSet()


class Containment:
    """Which scopes contain which.

    Args:
        table: from a scope to those that it contains; what these contain is in it too.
    """

    def __init__(self, table: Mapping[str, tuple[str, ...]]) -> None:
        self._table = {**CONTAINED, **table}
        for scope, always in CONTAINED.items():
            self._table[scope] = (*always, *table.get(scope, ()))

    def expand(self, scopes: Iterable[str], *, with_patterns: bool = False) -> ScopeSet:
        """These scopes and what they contain.

        Args:
            with_patterns: a ``*`` in them stands for any text; without, it is an asterisk.
        """
        given = list(scopes)
        names, patterns = set(), {s for s in given if with_patterns and "*" in s}
        waiting = [scope for scope in given if scope not in patterns]
        while waiting:
            scope = waiting.pop()
            if scope in names:
                continue
            names.add(scope)
            for inner in self._table.get(scope, ()):
                if "*" in inner:
                    patterns.add(inner)
                else:
                    waiting.append(inner)
        return ScopeSet(frozenset(names), tuple(sorted(patterns)))
