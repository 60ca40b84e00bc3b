"""One MCP client: both eras, sessions that are begun again, streams that are resumed."""
