"""Who may do what: scopes, roles, and what follows from them. Pure."""
