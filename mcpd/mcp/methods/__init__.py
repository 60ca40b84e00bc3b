"""The methods of MCP, one file an area. Each lists what it serves in METHODS or NOTIFICATIONS."""
