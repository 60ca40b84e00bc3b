"""How often and how much: rates, and caps on what is there at once, by key."""
