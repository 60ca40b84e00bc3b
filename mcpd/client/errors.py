"""What goes wrong between a client and its server."""

from mcpd.errors import Unavailable


class Undeliverable(Unavailable):
    """A message did not reach the server, or its answer did not come back."""

    slug = "undeliverable"
