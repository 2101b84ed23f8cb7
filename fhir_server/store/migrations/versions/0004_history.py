"""History of types and of the whole server: superseded versions in the order of time."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the indexes; current versions have theirs already."""
    op.execute(
        "CREATE INDEX resource_history_time ON resource_history (tenant, last_updated);"
        "CREATE INDEX resource_history_type_time ON resource_history (tenant, type, last_updated)"
    )
