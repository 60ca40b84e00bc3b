"""SQLite for a Trio program."""

from mcpd.sqlite.database import Database

__all__ = ["Database"]
