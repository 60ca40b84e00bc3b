"""Who a request acts for."""

from dataclasses import dataclass

SCOPE_EXECUTE = "execute:mcp"
SCOPE_ADMIN = "admin:mcp"


@dataclass(frozen=True, slots=True)
class Principal:
    """A user as a verified token names it; ``issuer`` and ``subject`` together are the identity."""

    subject: str
    issuer: str = ""
    scopes: frozenset[str] = frozenset()
    token_type: str = "access"

    @property
    def key(self) -> str:
        """The identity in one word, for tables."""
        return f"{self.issuer} {self.subject}"

    def owns(self, issuer: str | None, subject: str | None) -> bool:
        """Whether this is the principal of that name."""
        return self.subject == subject and self.issuer == issuer


LOCAL_PRINCIPAL = Principal("local", scopes=frozenset({SCOPE_EXECUTE, SCOPE_ADMIN}))
"""Every caller, where authentication is off; only possible on loopback."""
