"""What authors write: App, tools, content. Never imports the server."""
