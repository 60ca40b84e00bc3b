"""What one user may do: a value that goes with its principal. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mcpd.access.rules import Role
from mcpd.access.scopes import NO_SCOPES, ScopeSet
from mcpd.limits.rules import NO_LIMITS, UserLimits

Kind = Literal["tools", "resources", "prompts"]
UNLIMITED = UserLimits(NO_LIMITS)
MAX_REMEMBERED = 10_000  # answers of one view


class Part(Protocol):
    """A tool, a resource or a prompt."""

    @property
    def name(self) -> str: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...


class View:
    """What holders of some roles could ever use, whatever their credentials say. The same object
    for all who have the same roles, so that lists can be made once for it.

    Args:
        roles: a part must be permitted in each of these sets, by one of its roles.
        grantable: the scopes that all of these sets have.
    """

    __slots__ = ("_grantable", "_known", "_roles")

    def __init__(self, roles: Sequence[Sequence[Role]], grantable: Sequence[ScopeSet]) -> None:
        self._roles = roles
        self._grantable = grantable
        self._known: dict[tuple[str, str, tuple[str, ...]], bool] = {}

    def shows(self, kind: Kind, part: Part) -> bool:
        """Whether it is listed; one that is not is unknown to them."""
        key = (kind, part.name, part.scopes)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            known = self._known[key] = self._decide(kind, part)
        return known

    def _decide(self, kind: Kind, part: Part) -> bool:
        permitted = all(any(r.permits(kind, part.name) for r in roles) for roles in self._roles)
        return permitted and all(self.grants(scope) for scope in part.scopes)

    def grants(self, scope: str) -> bool:
        """Whether these roles give a scope."""
        return all(scope in scopes for scopes in self._grantable)


@dataclass(frozen=True, slots=True, eq=False)
class Rights:
    """What one credential's user may do.

    Attributes:
        held: the credential's scopes and what they contain.
        view: None: no roles are configured.
        limits: that the user's requests are counted by.
        is_local: everything: this machine's own user, where no credential is needed.
    """

    held: ScopeSet = NO_SCOPES
    view: View | None = None
    limits: UserLimits = UNLIMITED
    is_local: bool = False

    def shows(self, kind: Kind, part: Part) -> bool:
        """Whether a part is listed for this user."""
        return self.view is None or self.view.shows(kind, part)

    def missing(self, scopes: Sequence[str]) -> tuple[str, ...]:
        """Which of these scopes are needed still."""
        if self.is_local or not scopes:
            return ()
        return tuple(scope for scope in scopes if not self.has(scope))

    def has(self, scope: str) -> bool:
        """Whether a scope counts for this user now."""
        if self.is_local:
            return True
        return scope in self.held and (self.view is None or self.view.grants(scope))

    def effective(self) -> frozenset[str]:
        """The scopes that count, by name."""
        return frozenset(scope for scope in self.held.names if self.has(scope))
