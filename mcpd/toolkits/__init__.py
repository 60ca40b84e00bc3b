"""Tool sets that come with mcpd, written with what every author has."""
