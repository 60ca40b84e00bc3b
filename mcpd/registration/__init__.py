"""/register and its kin: how a client finds out what this server is and opens a session."""
