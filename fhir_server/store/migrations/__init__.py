"""Schema migrations (Alembic) and their check at start."""
