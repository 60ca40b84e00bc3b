"""How messages travel: Streamable HTTP of both eras."""
