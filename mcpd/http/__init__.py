"""HTTP/1.1 on h11 and Trio. Knows nothing of MCP."""
