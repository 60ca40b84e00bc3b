"""Kept streams of messages: who writes them, who reads them, and what they announce."""
