"""Whole HTTP conversations of real clients: recorded once, played against any server."""
