"""The door: an Authorization header becomes a principal, or a refusal."""

import time
from collections.abc import Callable

from mcpd.auth.principals import LOCAL_PRINCIPAL, Principal
from mcpd.auth.tokens import Verifier


class Gate:
    """Authenticate requests. Without a verifier everybody is the local user.

    ``verifier`` may be replaced while running, when secrets are reloaded.
    """

    def __init__(
        self, verifier: Verifier | None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.verifier = verifier
        self._clock = clock

    @property
    def required(self) -> bool:
        """Whether a token is needed."""
        return self.verifier is not None

    def authenticate(self, authorization: bytes | None) -> Principal:
        """The principal behind an Authorization header's value.

        Raises:
            Unauthorized: no valid token.
            InsufficientScope: one without the scope to call MCP.
        """
        if self.verifier is None:
            return LOCAL_PRINCIPAL
        return self.verifier.verify(authorization, self._clock())
