"""Rights of principals, from the rules that are in force."""

from dataclasses import replace

from mcpd.access.rights import Rights, View
from mcpd.access.rules import EVERYBODY, NO_RULES, AccessRules, Role
from mcpd.access.scopes import SCOPE_EXECUTE, Containment
from mcpd.auth.principals import Principal

MAX_VIEWS = 1000  # sets of roles that users have; further ones are made anew each time


class AccessControl:
    """Says what principals may do.

    Args:
        rules: of the configuration.
    """

    def __init__(self, rules: AccessRules = NO_RULES) -> None:
        self.use(rules)

    def use(self, rules: AccessRules) -> None:
        """From here on these rules count; what was granted before keeps the old ones."""
        self._rules = rules
        self._containment = Containment(rules.scopes)
        self._views: dict[tuple[tuple[str, ...], ...], View] = {}

    def grant(self, principal: Principal) -> Principal:
        """The principal with its rights; its scopes are those that count."""
        rights = Rights(self._containment.expand(principal.scopes), self._view_of(principal))
        return replace(principal, scopes=rights.effective(), rights=rights)

    def _view_of(self, principal: Principal) -> View | None:
        rules = self._rules
        if not rules.roles:
            return None
        names = [rules.users.get(principal.subject, rules.users.get(EVERYBODY, ()))]
        if principal.token_type == "api_key" and principal.credential in rules.keys:
            names.append(rules.keys[principal.credential])
        key = tuple(names)
        view = self._views.get(key)
        if view is None:
            view = self._make_view(key)
            if len(self._views) < MAX_VIEWS:
                self._views[key] = view
        return view

    def _make_view(self, sets: tuple[tuple[str, ...], ...]) -> View:
        roles: list[list[Role]] = [[self._rules.roles[name] for name in names] for names in sets]
        grantable = [
            self._containment.expand(
                [scope for role in some for scope in (*role.scopes, SCOPE_EXECUTE)],
                with_patterns=True,
            )
            for some in roles
        ]
        return View(roles, grantable)
