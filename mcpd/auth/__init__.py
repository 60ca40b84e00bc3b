"""Who is calling: secrets, tokens, scopes, principals."""
