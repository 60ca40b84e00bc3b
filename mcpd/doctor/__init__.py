"""What the known clients would meet at a server, and what fixes it."""
