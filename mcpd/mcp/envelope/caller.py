"""Who sent a message, and in what terms: one value for both eras."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mcpd.app.context import LOG_LEVELS
from mcpd.auth.principals import Principal
from mcpd.mcp.revisions import Revision
from mcpd.sessions.record import MAX_NAME_CHARS, MAX_VERSION_CHARS, Session, clean_label

LEVEL_ORDER: dict[str, int] = {level: order for order, level in enumerate(LOG_LEVELS)}
HANDSHAKE_LOG_LEVEL = "info"  # until logging/setLevel; the server's choice before 2026-07-28


class Caller(msgspec.Struct, frozen=True):
    """The sender of one message.

    ``session`` is None in the modern era, where every request carries the rest itself.
    ``log_level`` None: no log messages are wanted. ``client``: name and version, as the client says
    of itself, short and printable; empty: it does not.
    """

    principal: Principal
    revision: Revision
    session: Session | None = None
    client_info: Mapping[str, Any] = msgspec.field(default_factory=dict)
    capabilities: Mapping[str, Any] | msgspec.Raw = msgspec.field(default_factory=dict)
    log_level: str | None = None
    client: str = ""
    client_version: str = ""

    def __post_init__(self) -> None:
        name = clean_label(self.client_info.get("name"), MAX_NAME_CHARS)
        version = clean_label(self.client_info.get("version"), MAX_VERSION_CHARS)
        msgspec.structs.force_setattr(self, "client", f"{name} {version}".strip())
        msgspec.structs.force_setattr(self, "client_version", version)

    @property
    def client_capabilities(self) -> Mapping[str, Any]:
        """What the client declared; decoded when it is needed, which is seldom."""
        if not isinstance(self.capabilities, msgspec.Raw):
            return self.capabilities
        found = msgspec.json.decode(self.capabilities)
        return found if isinstance(found, dict) else {}

    def wants_log(self, level: str) -> bool:
        """Whether a log message of this level may be sent."""
        if self.log_level is None:
            return False
        return LEVEL_ORDER[level] >= LEVEL_ORDER[self.log_level]


def caller_of_session(session: Session, principal: Principal, revision: Revision) -> Caller:
    """The caller in the handshake era, from what ``initialize`` left in the record."""
    return Caller(
        principal,
        revision,
        session,
        {"name": session.client_name, "version": session.client_version},
        session.capabilities,
        session.log_level or HANDSHAKE_LOG_LEVEL,
    )
