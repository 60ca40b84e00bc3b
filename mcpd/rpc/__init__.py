"""JSON-RPC 2.0. Knows no method names."""
