"""What an operator needs of a running server: its health, who is registered, sessions moved."""
