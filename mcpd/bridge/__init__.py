"""A stdio server in front of an HTTP server: for clients that start their servers as children."""
