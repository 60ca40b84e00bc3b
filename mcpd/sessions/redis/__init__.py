"""Sessions in Redis or Valkey: for several processes on one or many hosts (mcpd-server[redis])."""
