"""Whether a caller may use what a request names: the one function that guards calls and lists."""

from mcpd.access.rights import Kind
from mcpd.access.scopes import SCOPE_EXECUTE
from mcpd.auth.challenges import lacks_scopes
from mcpd.auth.principals import Principal
from mcpd.mcp.catalog.catalog import Offered, P


def permitted(kind: Kind, offered: Offered[P] | None, principal: Principal) -> Offered[P] | None:
    """What was found by its name, if this principal may use it; None: it is not there for it.

    Raises:
        InsufficientScope: it could use it with a credential that has more scopes.
    """
    if offered is None:
        return None
    part, rights = offered.part, principal.rights
    if not part.scopes and rights.view is None:
        return offered
    if not rights.shows(kind, part):
        return None
    missing = rights.missing(part.scopes)
    if missing:
        raise lacks_scopes(part.name, missing, (SCOPE_EXECUTE, *part.scopes))
    return offered
