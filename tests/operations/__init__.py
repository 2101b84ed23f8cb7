"""The server's own operations."""
