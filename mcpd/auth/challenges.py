"""Refusals of credentials, with their challenges (RFC 6750, section 3). Pure."""

from collections.abc import Sequence
from typing import Literal

from mcpd.errors import Forbidden, InsufficientScope, Unauthorized

Reason = Literal[
    "missing", "malformed", "signature", "claims", "expired", "not yet", "revoked", "unknown",
    "address",
]  # fmt: skip
HOW_TO_GET = "Make a token with: mcpd token create --sub YOUR_NAME"


def refuse(
    description: str, scope: str, fix: str = HOW_TO_GET, *, reason: Reason = "malformed"
) -> Unauthorized:
    """A 401 with its challenge (RFC 6750, section 3).

    Args:
        reason: in a word, for those who count.
    """
    headers = _challenge("invalid_token", description, scope)
    error = Unauthorized(description, fix=fix, headers=headers)
    error.reason = reason
    return error


def lacks_scope(what: str, scope: str) -> InsufficientScope:
    """A 403 for a credential that is valid, with its challenge."""
    fix = f"{HOW_TO_GET} --scope {scope}" if what == "token" else f"Make a {what} that has it."
    return InsufficientScope(
        f"The {what} lacks the scope {scope}.",
        fix=fix,
        headers=_challenge("insufficient_scope", f"The {what} lacks a scope.", scope),
    )


def lacks_scopes(name: str, missing: Sequence[str], needed: Sequence[str]) -> InsufficientScope:
    """A 403 for a tool, resource or prompt that a credential with more scopes could use.

    Args:
        needed: by the request, in all: the challenge names them, so that a client asks once
            (MCP 2025-11-25, "Scope Challenge Handling").
    """
    scopes = " ".join(missing)
    return InsufficientScope(
        f"{name} takes scopes that your credential lacks: {scopes}.",
        fix=f"Get a token or key with {' '.join(needed)}.",
        headers=_challenge("insufficient_scope", "Scopes are missing.", " ".join(needed)),
    )


def has_no_role() -> Forbidden:
    """A 403 for a user who may not use MCP here with any credential, so without a challenge."""
    return Forbidden(
        "You have no role on this server.",
        fix="Ask its operator to give you one, in the table users of its configuration.",
    )


def _challenge(error: str, description: str, scope: str) -> tuple[tuple[bytes, bytes], ...]:
    value = (
        f'Bearer realm="mcpd", error="{error}", error_description="{description}", scope="{scope}"'
    )
    return ((b"www-authenticate", value.encode("ascii", "replace")),)
