"""HTTP tests against a real server on a real PostgreSQL."""
