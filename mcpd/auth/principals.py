"""Who a request acts for."""

from dataclasses import dataclass, field

from mcpd.access.rights import Rights
from mcpd.access.scopes import SCOPE_ADMIN, SCOPE_EXECUTE

_NONE = Rights()  # sees what every user sees, and holds no scope


@dataclass(frozen=True, slots=True)
class Principal:
    """A user as a verified credential names it: by ``issuer`` and ``subject`` together.

    Attributes:
        scopes: that count, once it has rights.
        rights: see ``AccessControl.grant``.
    """

    subject: str
    issuer: str = ""
    scopes: frozenset[str] = frozenset()
    token_type: str = "access"
    credential: str = field(default="", compare=False)  # id of the key, or jti of the token
    rights: Rights = field(default=_NONE, compare=False, repr=False)
    key: str = field(init=False, repr=False, compare=False)  # the identity in one word, for tables

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.issuer} {self.subject}")

    def owns(self, issuer: str | None, subject: str | None) -> bool:
        """Whether this is the principal of that name."""
        return self.subject == subject and self.issuer == issuer


LOCAL_PRINCIPAL = Principal(
    "local", scopes=frozenset({SCOPE_EXECUTE, SCOPE_ADMIN}), rights=Rights(is_local=True)
)
"""Every caller, where authentication is off; only possible on loopback."""
