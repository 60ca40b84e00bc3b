"""What this server offers, and how each revision describes it."""
