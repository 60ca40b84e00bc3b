"""Refusals of credentials, with their challenges (RFC 6750, section 3). Pure."""

from mcpd.errors import InsufficientScope, Unauthorized

HOW_TO_GET = "Make a token with: mcpd token create --sub YOUR_NAME"


def refuse(description: str, scope: str, fix: str = HOW_TO_GET) -> Unauthorized:
    """A 401 with its challenge (RFC 6750, section 3)."""
    return Unauthorized(
        description, fix=fix, headers=_challenge("invalid_token", description, scope)
    )


def lacks_scope(what: str, scope: str) -> InsufficientScope:
    """A 403 for a credential that is valid, with its challenge."""
    fix = f"{HOW_TO_GET} --scope {scope}" if what == "token" else f"Make a {what} that has it."
    return InsufficientScope(
        f"The {what} lacks the scope {scope}.",
        fix=fix,
        headers=_challenge("insufficient_scope", f"The {what} lacks a scope.", scope),
    )


def _challenge(error: str, description: str, scope: str) -> tuple[tuple[bytes, bytes], ...]:
    value = (
        f'Bearer realm="mcpd", error="{error}", error_description="{description}", scope="{scope}"'
    )
    return ((b"www-authenticate", value.encode("ascii", "replace")),)
