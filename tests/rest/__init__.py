"""HTTP-aware code, without a server."""
