"""Whether a caller may use what a request names: the one place that guards calls and lists."""

import msgspec

from mcpd.access.rights import Kind
from mcpd.access.scopes import SCOPE_EXECUTE
from mcpd.auth.challenges import lacks_scopes
from mcpd.auth.principals import Principal
from mcpd.errors import InsufficientScope
from mcpd.mcp.catalog.catalog import Catalog, Offered, P

_UPDATED = b'"notifications/resources/updated"'


class _UpdatedParams(msgspec.Struct):
    uri: str = ""


class _Updated(msgspec.Struct):
    method: str = ""
    params: _UpdatedParams = msgspec.field(default_factory=_UpdatedParams)


_updated = msgspec.json.Decoder(_Updated)


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


def may_read(catalog: Catalog, uri: str, principal: Principal) -> bool:
    """Whether a principal may read the resource of a URI. One that it may not read is unknown to
    it, and so are its changes.
    """
    try:
        found = catalog.find_resource(uri, principal.rights)
        return permitted("resources", found, principal) is not None
    except InsufficientScope:
        return False


def may_hear(catalog: Catalog, message: bytes, principal: Principal) -> bool:
    """Whether a message of a session's own stream is for the principal that reads it now."""
    if _UPDATED not in message:
        return True
    try:
        told = _updated.decode(message)
    except msgspec.DecodeError:
        return True
    return told.method != "notifications/resources/updated" or may_read(
        catalog, told.params.uri, principal
    )
