"""Rights of principals, from the rules that are in force."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from mcpd.access.rights import Rights, View
from mcpd.access.rules import ALL_OTHERS, NO_RULES, AccessRules, Role
from mcpd.access.scopes import SCOPE_EXECUTE, Containment
from mcpd.auth.principals import LOCAL_PRINCIPAL, Principal
from mcpd.limits.rules import NO_LIMITS, LimitRules, UserLimits, combined

MAX_SETS = 1000  # of roles that users have; further ones are made anew each time


class _Shared(NamedTuple):
    """What all have who have the same roles."""

    view: View | None
    limits: UserLimits


class AccessControl:
    """Says what principals may do.

    Args:
        rules: of the configuration.
        defaults: limits where the rules say nothing.

    Attributes:
        is_withdrawn: whether the credential that showed a principal was revoked.
        local: this machine's own user, where no credential is needed.
    """

    def __init__(self, rules: AccessRules = NO_RULES, defaults: LimitRules = NO_LIMITS) -> None:
        self._defaults = defaults
        self.is_withdrawn: Callable[[Principal], bool] = lambda principal: False
        self.use(rules)

    def use(self, rules: AccessRules) -> None:
        """From here on these rules count; what was granted before keeps the old ones."""
        self._rules = rules
        self._containment = Containment(rules.scopes)
        self._base = combined(self._defaults, [rules.limits])
        self._sets: dict[tuple[tuple[str, ...], ...], _Shared] = {}
        rights = Rights(limits=UserLimits(self._base), is_local=True)
        self.local = replace(LOCAL_PRINCIPAL, rights=rights)

    @property
    def base_limits(self) -> UserLimits:
        """The limits of users whose roles say nothing else."""
        return self.local.rights.limits

    def grant(self, principal: Principal) -> Principal:
        """The principal with its rights; its scopes are those that count."""
        shared = self._shared_by(principal)
        held = self._containment.expand(principal.scopes)
        rights = Rights(held, shared.view, shared.limits)
        return replace(principal, scopes=rights.effective(), rights=rights)

    def _shared_by(self, principal: Principal) -> _Shared:
        rules = self._rules
        if not rules.roles:
            return _Shared(None, self.base_limits)
        names = [rules.users.get(principal.subject, rules.users.get(ALL_OTHERS, ()))]
        if principal.token_type == "api_key" and principal.credential in rules.keys:
            names.append(rules.keys[principal.credential])
        key = tuple(names)
        shared = self._sets.get(key)
        if shared is None:
            shared = self._make(key)
            if len(self._sets) < MAX_SETS:
                self._sets[key] = shared
        return shared

    def _make(self, sets: tuple[tuple[str, ...], ...]) -> _Shared:
        """The first set is the user's own; a second one, of its key, takes rights away."""
        roles: list[list[Role]] = [[self._rules.roles[name] for name in names] for names in sets]
        grantable = [
            self._containment.expand(
                [scope for role in some for scope in (*role.scopes, SCOPE_EXECUTE)],
                with_patterns=True,
            )
            for some in roles
        ]
        limits = combined(self._base, [role.limits for role in roles[0]])
        return _Shared(View(roles, grantable), UserLimits(limits))
