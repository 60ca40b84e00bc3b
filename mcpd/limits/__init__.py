"""How often: rates, kept per key and bounded in number."""
