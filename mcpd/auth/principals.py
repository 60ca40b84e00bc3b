"""Who a request acts for."""

from dataclasses import dataclass, field

SCOPE_EXECUTE = "execute:mcp"
SCOPE_ADMIN = "admin:mcp"


@dataclass(frozen=True, slots=True)
class Principal:
    """A user as a verified token names it; ``issuer`` and ``subject`` together are the identity."""

    subject: str
    issuer: str = ""
    scopes: frozenset[str] = frozenset()
    token_type: str = "access"
    credential: str = field(default="", compare=False)  # id of the key, or jti of the token
    key: str = field(init=False, repr=False, compare=False)  # the identity in one word, for tables

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.issuer} {self.subject}")

    def owns(self, issuer: str | None, subject: str | None) -> bool:
        """Whether this is the principal of that name."""
        return self.subject == subject and self.issuer == issuer


LOCAL_PRINCIPAL = Principal("local", scopes=frozenset({SCOPE_EXECUTE, SCOPE_ADMIN}))
"""Every caller, where authentication is off; only possible on loopback."""
