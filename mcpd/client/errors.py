"""What goes wrong between a client and its server."""

from mcpd.errors import Unavailable


class Undeliverable(Unavailable):
    """A message did not reach the server, or its answer did not come back."""

    slug = "undeliverable"


class TokenRefused(Undeliverable):
    """The server answers 401: to the token that it was shown, or to none."""
