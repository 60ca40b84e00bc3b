"""A server under mixed load for minutes or days, restarted and killed, watched and audited."""
